/**
 * The demo as people run it: against a devnet, by its own command, read by a machine. Batches are in call data: that blobs are read back is shown by
 * test/e2e/deposits.test.ts, and each process that touches one has to load the trusted setup.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Devnet, jsonLines, runCommand, startDevnet } from './devnet.ts'

const DEMO_MAX_MS = 120_000

let devnet: Devnet
beforeAll(async () => {
  devnet = await startDevnet(['--batch-sec', '2', '--da', 'calldata'])
})
afterAll(() => devnet?.close())

type Summary = {
  readonly ok: boolean
  readonly receipts: number
  readonly feeWei: string
  readonly earnedWei: string
  readonly lastBlock: string
  readonly earners: readonly { readonly role: string; readonly earnedWei: string; readonly claimedWei?: string }[]
  readonly verified: { readonly blocks: string; readonly compared: number; readonly transactions: number; readonly differences: number }
}

async function playDemo() {
  const { code, stdout, stderr } = await runCommand(['demo', '--rpc', devnet.ready().rpc, '--json'], DEMO_MAX_MS)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const lines = jsonLines(stdout)
  const steps = lines.slice(0, -1)
  const stepNamed = (name: string) => steps.filter(({ step }) => step === name)
  return { summary: lines.at(-1) as Summary, steps, stepNamed }
}

/** What holds after every run, the first or a later one on the same network. */
function expectSound({ summary, stepNamed }: Awaited<ReturnType<typeof playDemo>>) {
  expect(summary.ok).toBe(true)
  expect(summary.receipts).toBeGreaterThanOrEqual(12)
  expect(stepNamed('receipts')[0]?.codes).toEqual(Array(summary.receipts).fill(0))
  const earnedWei = summary.earners.reduce((sum, one) => sum + BigInt(one.earnedWei), 0n)
  expect(earnedWei).toBe(BigInt(summary.feeWei))
  expect(BigInt(summary.earnedWei)).toBe(earnedWei)
  const claimed = summary.earners.filter(({ role }) => role !== 'treasury')
  expect(claimed.map(({ claimedWei }) => claimedWei)).toEqual(claimed.map((one) => one.earnedWei))
  expect(summary.verified.differences).toBe(0)
  expect(BigInt(summary.verified.blocks)).toBeGreaterThanOrEqual(BigInt(summary.lastBlock))
  expect(summary.verified.compared).toBe(Number(summary.verified.blocks) + 1) // and block 0
}

test('the loop: records to claims, every fee accounted for, all of it rebuilt from L1', async () => {
  const played = await playDemo()
  expectSound(played)
  const { stepNamed, summary } = played
  expect(stepNamed('review').map(({ verdict }) => verdict)).toEqual(['accept', 'accept', 'accept', 'reject'])
  expect(stepNamed('licence')[0]).toMatchObject({ refusedWith: 'licenceExceeded' })
  expect(stepNamed('forged')[0]).toMatchObject({ forgedCode: 2, greedyCode: 11 })
  expect(stepNamed('inclusion')[0]).toMatchObject({ replayedCode: 13 })
  const contributors = summary.earners.filter(({ role }) => role.endsWith('contributor'))
  expect(contributors.map(({ earnedWei }) => BigInt(earnedWei) > 0n)).toEqual([true, true, true])
})

test('the loop can be played again on the same network: sequence numbers and vouchers go on', async () => {
  const played = await playDemo()
  expectSound(played)
  expect(played.stepNamed('datanet')[0]).toMatchObject({ datanetId: 2 })
  expect(played.stepNamed('worker')[0]).toMatchObject({ lastSeq: String(played.summary.receipts) })
})

test('a node that is not there is a failure with a reason, not a success', async () => {
  const { code, stdout, stderr } = await runCommand(['demo', '--rpc', 'http://127.0.0.1:1', '--json'], DEMO_MAX_MS)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain('127.0.0.1:1')
})
