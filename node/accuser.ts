/**
 * Brings evidence to the registry on L1, which judges it, slashes the stake and tells the rollup: its next set is without the offender. Who brings it gets
 * a part of the stake. Spec: docs/spec/consensus.md#registry
 */
import type { Hex } from 'viem'
import { uncompressedSignature } from '../consensus/bls.ts'
import { encodeSlash, toL1Evidence } from '../settlement/registry.ts'
import type { TxManager, TxOutcome } from '../settlement/txManager.ts'
import type { EvidenceStore } from './evidenceStore.ts'
import type { Facts, Log } from './log.ts'

/** L1 may not know the epoch's set yet. After so many refusals, the last a day after the first, it is for an operator to look. */
const TRIES_MAX = 12
const PAUSE_MIN_MS = 30_000

export type AccuserOptions = {
  readonly store: EvidenceStore
  /** The registry of validators on L1. */
  readonly registry: Hex
  readonly log: Log
  nowMs(): number
}

export type Accuser = {
  /** Brings one that is due, if there is one. Throws L1Error. */
  accuseNext(sender: Pick<TxManager, 'send'>): Promise<void>
}

/** Knows of no earlier tries: they begin anew with the process. */
export function createAccuser({ store, registry, log, nowMs }: AccuserOptions): Accuser {
  const tries = new Map<string, { count: number; dueMs: number }>()
  return {
    async accuseNext(sender) {
      const due = store.open().find(({ id }) => (tries.get(id)?.dueMs ?? 0) <= nowMs())
      if (!due) return
      const { id, evidence } = due
      const facts: Facts = { kind: evidence.kind, validator: evidence.validator, height: evidence.height }
      const inL1sForm = toL1Evidence(evidence, uncompressedSignature)
      const outcome = inL1sForm && (await sender.send({ to: registry, data: encodeSlash(inL1sForm) }))
      if (outcome?.ok) {
        store.settle(id, 'taken')
        tries.delete(id)
        log.info('evidence is on L1', { ...facts, tx: outcome.hash })
        return
      }
      const count = (tries.get(id)?.count ?? 0) + 1
      if (outcome && count < TRIES_MAX) {
        tries.set(id, { count, dueMs: nowMs() + PAUSE_MIN_MS * 2 ** (count - 1) })
        log.warn('evidence is not on L1', { ...facts, ...outcomeFacts(outcome) })
        return
      }
      store.settle(id, 'refused')
      tries.delete(id)
      log.error('evidence is given up: L1 does not take it', { ...facts, ...(outcome && outcomeFacts(outcome)) })
    },
  }
}

function outcomeFacts(outcome: TxOutcome): Facts {
  return { ...outcome }
}
