import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeFunctionData } from 'viem'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { uncompressedSignature } from '../../consensus/bls.ts'
import { type Evidence, encodeEvidence } from '../../consensus/evidence.ts'
import { createAccuser } from '../../node/accuser.ts'
import { type EvidenceStore, openEvidenceStore } from '../../node/evidenceStore.ts'
import { createLog } from '../../node/log.ts'
import { validatorRegistryAbi } from '../../settlement/abi.ts'
import { toL1Evidence } from '../../settlement/registry.ts'
import type { TxOutcome, TxRequest } from '../../settlement/txManager.ts'
import { blockHash, setOf, signatureOf } from '../consensus/fixtures.ts'

const SET = setOf([1, 1, 1, 1])
const REGISTRY = `0x${'5e'.repeat(20)}` as const
const TAKEN: TxOutcome = { ok: true, hash: blockHash(1), l1Block: { number: 1n, hash: blockHash(2) } as never }
const REFUSED: TxOutcome = { ok: false, code: 'wouldRevert', reason: 'UnknownEpoch' }

let folder: string
let damaged: string[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-evidence-'))
  damaged = []
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const openStore = (): EvidenceStore => openEvidenceStore(folder, { onDamaged: (file) => damaged.push(file) })

function doubleVote(validator: number, height = 5): Evidence {
  const part = (block: number) => {
    const said = { kind: 'precommit', height, round: 0, validRound: -1, blockHash: blockHash(block) } as const
    return { ...said, signature: signatureOf(SET, validator, said) }
  }
  const [{ height: _, ...first }, { height: __, ...second }] = [part(1), part(2)]
  return { kind: 'doubleVote', validator, height, first, second }
}

function stage(outcomes: readonly TxOutcome[]) {
  const store = openStore()
  const lines: string[] = []
  const log = createLog({ level: 'info', json: true, write: (line) => lines.push(JSON.parse(line).event) })
  let nowMs = 0
  const sent: TxRequest[] = []
  const accuser = createAccuser({ store, registry: REGISTRY, log, nowMs: () => nowMs })
  const turn = () =>
    accuser.accuseNext({
      async send(request) {
        sent.push(request)
        return outcomes[Math.min(sent.length, outcomes.length) - 1] ?? REFUSED
      },
    })
  return {
    ...{ store, sent, lines, turn },
    pass(ms: number) {
      nowMs += ms
    },
  }
}

test('evidence waits on disk until L1 took it, and one of a validator and epoch is enough', async () => {
  expect(openStore().add(doubleVote(2), 7)).toBe(true)
  const { store, sent, turn, lines } = stage([TAKEN]) // the next process
  expect(store.open()).toEqual([{ id: '7-2', evidence: doubleVote(2) }])
  expect(store.add(doubleVote(2, 6), 7)).toBe(false)
  await turn()
  await turn()
  expect(sent.map(({ to }) => to)).toEqual([REGISTRY])
  expect(decodeFunctionData({ abi: validatorRegistryAbi, data: sent[0]?.data ?? '0x' })).toEqual({
    functionName: 'slash',
    args: [toL1Evidence(doubleVote(2), uncompressedSignature)],
  })
  expect(lines).toEqual(['evidence is on L1'])
  expect(readdirSync(folder)).toEqual(['7-2.taken'])
  expect(readFileSync(join(folder, '7-2.taken'))).toEqual(Buffer.from(encodeEvidence(doubleVote(2))))
  expect(openStore().add(doubleVote(2), 7)).toBe(false)
})

test('what L1 refuses is brought again, ever later, and given up in the end; others do not wait for it', async () => {
  const { store, sent, turn, pass, lines } = stage([REFUSED, TAKEN, REFUSED])
  store.add(doubleVote(1), 0)
  store.add(doubleVote(3), 0)
  await turn()
  await turn()
  expect(store.open().map(({ id }) => id)).toEqual(['0-1'])
  await turn()
  expect(sent).toHaveLength(2)
  let waitedMs = 0
  for (let pauseMs = 30_000; store.open().length > 0; pauseMs *= 2) {
    pass(pauseMs - 1)
    const before = sent.length
    await turn()
    expect(sent).toHaveLength(before)
    pass(1)
    await turn()
    waitedMs += pauseMs
    expect(waitedMs).toBeLessThan(48 * 3_600_000)
  }
  expect(waitedMs).toBeGreaterThan(12 * 3_600_000)
  expect(readdirSync(folder).sort()).toEqual(['0-1.refused', '0-3.taken'])
  expect(lines.at(-1)).toBe('evidence is given up: L1 does not take it')
})

test('evidence whose signature is no point goes nowhere', async () => {
  const { store, sent, turn } = stage([TAKEN])
  const first = { ...doubleVote(1).first, signature: new Uint8Array(96).fill(0xff) }
  store.add({ ...doubleVote(1), first }, 0)
  await turn()
  expect(sent).toEqual([])
  expect(readdirSync(folder)).toEqual(['0-1.refused'])
})

test('a damaged file is told and left alone, and what was not written whole does not count', () => {
  openStore().add(doubleVote(2), 7)
  writeFileSync(join(folder, '7-3.open'), 'half')
  writeFileSync(join(folder, '7-1.open.draft'), encodeEvidence(doubleVote(1)))
  writeFileSync(join(folder, 'notes'), '')
  const store = openStore()
  expect(store.open().map(({ id }) => id)).toEqual(['7-2'])
  expect(damaged).toEqual([join(folder, '7-3.open')])
  expect(store.add(doubleVote(1), 7)).toBe(true)
})
