/**
 * The challenger's looks on a chain that another keeps, as within a node: it waits until that has come up to what was read, but not for long, and what ends it
 * ends nothing else.
 * Spec: docs/spec/fraud.md#the-challenger
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEther } from 'viem'
import { generatePrivateKey } from 'viem/accounts'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startChallengeLoop } from '../../node/challengeLoop.ts'
import type { ChallengeOutcome } from '../../node/challenger.ts'
import { parseConfig, UsageError } from '../../node/config.ts'
import { signerOf } from '../../node/keys.ts'
import { createLog } from '../../node/log.ts'
import { startOperatorNode } from '../../node/operatorNode.ts'
import { createKzg } from '../../settlement/kzg.ts'
import { L1Error } from '../../settlement/l1Error.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { COLLUDERS_CHECKPOINTS, type Colluders, createColluders } from '../fakes/colluders.ts'
import { FRAUDS, makeBlocks } from '../fakes/frauds.ts'
import { createMemoryPendingTx } from '../fakes/pendingTx.ts'

let anvil: Anvil
let rollup: Colluders
beforeAll(async () => {
  anvil = await startAnvil()
  rollup = await createColluders(anvil)
  await makeBlocks(rollup)
}, 60_000)
afterAll(() => anvil?.stop())

/** On a chain that stands at its genesis block. */
async function openLoop(catchUp: () => Promise<boolean>) {
  const { l1, genesis, accumulator, chain, client } = rollup
  const signer = signerOf(generatePrivateKey())
  await client.setBalance({ address: signer.address, value: parseEther('10') })
  const outcomes: ChallengeOutcome[] = []
  let tell: () => void = () => {}
  const told = new Promise<void>((resolve) => {
    tell = resolve
  })
  const fatal: unknown[] = []
  const loop = await startChallengeLoop({
    l1,
    genesis,
    accumulator,
    kzg: createKzg(),
    signer,
    pending: createMemoryPendingTx(),
    derived: () => ({
      head: () => ({ accumulator, nextIndex: 0n, lastBlock: 0n }),
      ledgerRoot: () => rollup.genesisLedgerRoot,
      source: chain.store.reader,
      parent: () => ({ timestampMs: genesis.timestampMs, originNumber: genesis.l1.origin.number }),
    }),
    catchUp,
    onReset() {},
    log: createLog({ level: 'error', json: true, write: () => {} }),
    report(outcome) {
      outcomes.push(outcome)
      tell()
    },
    onFatal(error) {
      fatal.push(error)
      tell()
    },
  })
  onTestFinished(loop.close)
  return { loop, outcomes, told, fatal }
}

async function submitWrong() {
  await rollup.bond()
  return rollup.submit(await FRAUDS['a deposit that nobody made'].make(rollup, 'calldata'))
}

test('what is open is judged once the chain has come up to it', { timeout: 60_000 }, async () => {
  const { id } = await submitWrong()
  let looks = 0
  const { outcomes, told, loop } = await openLoop(async () => ++looks > 2)
  await told
  expect(looks).toBe(3)
  expect(outcomes).toMatchObject([{ kind: 'fell', id }])
  expect(loop.status()).toMatchObject({ fell: 1, matured: 0 })
})

test('a chain that does not come so far is waited for during a tenth of the window, and not longer', { timeout: 120_000 }, async () => {
  const { id } = await submitWrong()
  const fromMs = Date.now()
  const { outcomes, told } = await openLoop(async () => false)
  await told
  expect(Date.now() - fromMs).toBeGreaterThan((COLLUDERS_CHECKPOINTS.challengeWindowSec * 1_000) / 10)
  expect(outcomes).toMatchObject([{ kind: 'fell', id }])
})

test('what does not pass by waiting ends it, and it says so once', { timeout: 30_000 }, async () => {
  const stop = new L1Error('another network', { kind: 'stop' })
  let looks = 0
  const { fatal, told } = await openLoop(async () => {
    looks++
    throw stop
  })
  await told
  expect([fatal, looks]).toEqual([[stop], 1])
})

test('a node challenges from an account of its own: that of its batches or checkpoints is refused at the start', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-keys-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'account.key')
  writeFileSync(file, generatePrivateKey(), { mode: 0o600 })
  const log = createLog({ level: 'error', json: true, write: () => {} })
  for (const other of ['--poster-key', '--submitter-key']) {
    const { config } = parseConfig('node', ['--l1', anvil.url, '--data-dir', folder, other, file, '--challenger-key', file], {})
    const started = startOperatorNode({ config, clientVersion: 'test', log, onFatal: (error) => expect.unreachable(String(error)) })
    await expect(started).rejects.toBeInstanceOf(UsageError)
  }
})
