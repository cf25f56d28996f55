/**
 * The part of the JSON-RPC thread (node/rpcWorker.ts) that takes transactions in: reads them, recovers their signatures, and offers them to the pool on the
 * main thread.
 */
import { commonOf } from '../execution/ethereumRules.ts'
import type { Intake } from '../rpc/intake.ts'
import type { Log } from './log.ts'
import { createRecoverPool } from './recoverPool.ts'
import { type Outbox, packTxs, type RpcWorkerData, type ToMain, type ToWorker } from './rpcMessages.ts'
import { createTxIntake, type IntakePool, type Verdict } from './txIntake.ts'

export type RpcIntake = Intake & { close(): Promise<void> }

export type RpcIntakeOptions = RpcWorkerData & {
  readonly log: Log
  /** Sends a question by its number; answers what is answered. */
  ask<T>(send: (id: number) => void): Promise<T>
  readonly send: Outbox<ToMain>['add']
}

/** An intake in front of the pool on the main thread. */
export function createRpcIntake({ chainId, recoverThreads, log, ask, send }: RpcIntakeOptions): RpcIntake {
  const { recover, close } = createRecoverPool({ threads: recoverThreads, log })
  const { submit } = createTxIntake({ common: commonOf(chainId), recover, pool: createRemotePool({ ask, send }) })
  return {
    async submit(raw) {
      const result = await submit(raw)
      return result.ok ? { ok: true, hash: result.tx.hash } : result
    },
    close,
  }
}

function createRemotePool({ ask, send }: Pick<RpcIntakeOptions, 'ask' | 'send'>): IntakePool<Promise<readonly Verdict[]>> {
  return {
    has: () => false, // what waits is known on the main thread alone: it costs a recovery here, and none there
    async offer(offers) {
      const txs = packTxs(
        offers.map(({ tx: { raw, hash, sender, kind }, publicKey }) => ({
          ...{ raw, hash, sender },
          publicKey: kind === 'ethereum' ? publicKey : undefined,
        })),
      )
      type Refused = Extract<ToWorker, { kind: 'verdicts' }>['refused']
      const refused = new Map(await ask<Refused>((id) => send({ kind: 'offer', id, txs }, txs.raws.buffer)))
      return offers.map((_, i) => refused.get(i) ?? { ok: true })
    },
  }
}
