/**
 * The way out as people go it, by commands alone: withdraw, be told when it is due, wait, be paid, once; and what `status` says of a network, of a transaction
 * and of a deposit on the way. Spec: docs/cli.md#withdraw, docs/spec/settlement.md#bridge
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hex, parseEther } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import { tributarySettlementActions, WithdrawalError, withdrawalsOf } from '../../rpc/settlementActions.ts'
import { checkpointManagerAbi, openTokenAbi } from '../../settlement/abi.ts'
import { type Finished, jsonLines, runCommand } from './devnet.ts'
import { l2Client, type Stage, startStage, until } from './stage.ts'

const COMMAND_MAX_MS = 120_000
const WAIT_MAX_MS = 120_000
const WINDOW_SEC = 30
const EVM_WINDOW_SEC = 60
const PAYEE: Hex = '0x00000000000000000000000000000000000e0001'
const NOBODYS_HASH: Hex = `0x${'77'.repeat(32)}`

let stage: Stage
let folder: string
let keyFile: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-withdraw-'))
  keyFile = join(folder, 'key')
  writeFileSync(keyFile, DEVNET_KEYS[3] ?? '')
  stage = await startStage()
})

afterAll(async () => {
  await stage?.close()
  rmSync(folder, { recursive: true, force: true })
})

const run = (command: string, ...words: string[]): Promise<Finished> =>
  runCommand([command, '--rpc', stage.devnet.ready().rpc, '--json', ...words], COMMAND_MAX_MS)
const only = ({ stdout }: Finished) => jsonLines(stdout).at(-1) ?? {}
type Included = { readonly hash: Hex; readonly block: number }
const memberOf = <T>(line: Readonly<Record<string, unknown>> | undefined, name: string) => line?.[name] as T
const paidOnL1 = () =>
  stage.l1.client.readContract({
    address: stage.devnet.ready().contracts.openToken,
    abi: openTokenAbi,
    functionName: 'balanceOf',
    args: [PAYEE],
  })

/** The last block that a checkpoint on L1 has. */
async function checkpointed(): Promise<bigint> {
  const manager = { address: stage.devnet.ready().contracts.checkpointManager, abi: checkpointManagerAbi } as const
  const events = await stage.l1.client.getContractEvents({ ...manager, eventName: 'CheckpointSubmitted', fromBlock: 0n })
  return events.at(-1)?.args.lastBlock ?? 0n
}

/** L1's clock goes on by so much. */
async function pass(seconds: number): Promise<void> {
  await stage.l1.client.request({ method: 'evm_increaseTime', params: [seconds] } as never)
  await stage.l1.mine(1)
}

test('a withdrawal of the ledger is told of at every step, paid when it is due and not before, and once', async () => {
  const withdrawn = await run('withdraw', '--key-file', keyFile, '--amount', '1.5', '--to', PAYEE)
  const [sent, included] = jsonLines(withdrawn.stdout)
  expect(withdrawn).toMatchObject({ code: 0 })
  expect(sent).toMatchObject({ sent: { to: PAYEE, amountWei: parseEther('1.5').toString(), from: 'ledger' } })
  expect(included).toMatchObject({ included: { ok: true, withdrawalIndex: 1 } })
  const { hash, block } = memberOf<Included>(included, 'included')

  // Until a checkpoint has it nobody can say when; then it is the window's end.
  const ask = async () => {
    const told = await run('prove', '--key-file', keyFile, '--withdrawal', '1')
    expect(told).toMatchObject({ code: 4 })
    const notYet = memberOf<{ readonly code: string; readonly payableAtSec?: number; readonly inSec?: number }>(only(told), 'notYet')
    expect(notYet.code).toBe(notYet.payableAtSec === undefined ? 'notCheckpointed' : 'notMature')
    return notYet.payableAtSec === undefined ? undefined : notYet
  }
  await ask()
  await until('its checkpoint', async () => ((await checkpointed()) >= block ? true : undefined), WAIT_MAX_MS)
  const early = await until('when it is due', ask)
  expect(early.inSec).toBeLessThanOrEqual(WINDOW_SEC)
  const halfway = only(await run('status', '--tx', hash))
  expect(halfway).toMatchObject({
    transaction: {
      hash,
      stage: 'checkpointed',
      included: { block, ok: true },
      posted: { l1Hash: expect.stringMatching(/^0x/) },
      isSafe: true,
      checkpoint: { matureAtSec: early.payableAtSec, isMature: false },
      withdrawals: [{ withdrawalIndex: 1, to: PAYEE, amountWei: parseEther('1.5').toString(), isPaid: false }],
    },
  })
  expect(await paidOnL1()).toBe(0n)

  await pass(WINDOW_SEC)
  expect(only(await run('status', '--withdrawal', '1'))).toMatchObject({ withdrawal: { stage: 'mature', to: PAYEE, block } })
  const paid = await run('prove', '--key-file', keyFile, '--tx', hash)
  expect(paid).toMatchObject({ code: 0 })
  expect(only(paid)).toMatchObject({ paid: { withdrawalIndex: 1, to: PAYEE, l1Hash: expect.stringMatching(/^0x/) } })
  expect(await paidOnL1()).toBe(parseEther('1.5'))
  const again = await run('prove', '--key-file', keyFile, '--withdrawal', '1')
  expect([again.code, only(again)]).toEqual([0, { paid: { withdrawalIndex: 1 } }])
  expect(await paidOnL1()).toBe(parseEther('1.5'))
  expect(only(await run('status', '--tx', hash))).toMatchObject({ transaction: { stage: 'paid', withdrawals: [{ isPaid: true }] } })
  const text = await runCommand(['status', '--rpc', stage.devnet.ready().rpc, '--tx', hash], COMMAND_MAX_MS)
  const told = ['transaction +0x', 'included +block ', 'posted +batch ', 'safe +yes', 'checkpointed +checkpoint ', 'mature +since ']
  expect(text.stdout).toMatch(new RegExp(`^${told.map((begin) => `${begin}.*\\n`).join('')}withdrawal +1 · 1\\.5 OPEN .* · paid$`, 'm'))
})

test('programs go the same way by actions, a withdrawal of the EVM side among them', async () => {
  const { rpc } = stage.devnet.ready()
  const l2 = l2Client(rpc, 4)
  const hash = await l2.withdraw({ from: 'evm', to: PAYEE, amount: parseEther('0.25') })
  const receipt = await l2.waitForTransactionReceipt({ hash, timeout: WAIT_MAX_MS })
  const [made] = withdrawalsOf(receipt)
  expect(made).toEqual({ withdrawalIndex: 2n, to: PAYEE, amount: parseEther('0.25') })
  const contracts = await l2.getL1Contracts()
  const l1 = stage.l1.client.extend(tributarySettlementActions({ contracts, node: l2 }))
  const withdrawalIndex = 2n
  await until('its checkpoint', async () =>
    (await l1.getWithdrawalStatus({ withdrawalIndex })).status === 'checkpointed' ? true : undefined,
  )
  const early = await l1.proveWithdrawal({ withdrawalIndex })
  await expect(l1.finalizeWithdrawal(early)).rejects.toMatchObject({ name: 'WithdrawalError', code: 'notMature', retryable: true })
  await expect(l1.proveWithdrawal({ withdrawalIndex, checkpointId: 0n })).rejects.toMatchObject({ code: 'checkpointTooEarly' })
  await expect(l1.proveWithdrawal({ withdrawalIndex, checkpointId: 9_999n })).rejects.toMatchObject({ code: 'unknownCheckpoint' })
  await expect(l1.proveWithdrawal({ withdrawalIndex: 99n })).rejects.toBeInstanceOf(WithdrawalError)
  expect(await l1.getWithdrawalStatus({ withdrawalIndex: 99n })).toEqual({ status: 'unknown' })
  await pass(WINDOW_SEC)
  // Its checkpoint is mature, and pays it later: the EVM attests that there was such a call.
  const mature = await l1.proveWithdrawal({ withdrawalIndex })
  expect(mature.checkpoint.isMature).toBe(true)
  await expect(l1.finalizeWithdrawal(mature)).rejects.toMatchObject({ code: 'notMature', retryable: true })
  expect((await l1.getWithdrawalStatus({ withdrawalIndex })).status).toBe('checkpointed')
  await pass(EVM_WINDOW_SEC - WINDOW_SEC)
  expect((await l1.waitUntilMature({ withdrawalIndex, timeoutMs: WAIT_MAX_MS })).status).toBe('mature')
  // Any later checkpoint that is mature has it as well.
  const first = await l1.proveWithdrawal({ withdrawalIndex })
  const given = await l1.proveWithdrawal({ withdrawalIndex, checkpointId: first.checkpoint.id })
  expect(given).toEqual(first)
  const before = await paidOnL1()
  expect(await l1.finalizeWithdrawal(given)).toMatchObject({ leftWei: 0n })
  expect((await paidOnL1()) - before).toBe(parseEther('0.25'))
  await expect(l1.proveWithdrawal({ withdrawalIndex })).rejects.toMatchObject({ code: 'alreadyPaid', retryable: false })
})

test('a deposit is followed from its place in the queue to its block, and the network is told of as a whole', async () => {
  const to: Hex = '0x00000000000000000000000000000000000e0002'
  const deposited = await run('deposit', '--key-file', keyFile0(), '--amount', '2', '--to', to)
  expect(deposited).toMatchObject({ code: 0 })
  const { hash, block } = memberOf<Included>(only(deposited), 'included')
  const status = await run('status', '--deposit', '0')
  expect(only(status)).toMatchObject({
    deposit: { depositIndex: 0, isExecuted: true, hash, transaction: { hash, included: { block, ok: true } } },
  })
  const { rpc } = stage.devnet.ready()
  const whole = only(await run('status')) as Record<string, Record<string, unknown>>
  const heads = whole.heads as { latest: number; safe: number }
  expect(heads.latest).toBeGreaterThanOrEqual(heads.safe)
  expect(whole).toMatchObject({
    l1: { chainId: 31_337 },
    checkpoints: {
      windowSec: WINDOW_SEC,
      isClosed: false,
      last: { bondWei: parseEther('1000').toString() },
      lastMature: { isMature: true },
    },
    deposits: { queued: 1, executed: 1 },
    validators: { epoch: 0, count: 1 },
  })
  expect(whole.batches?.last).toMatchObject({ poster: expect.stringMatching(/^0x/), posterEtherWei: expect.stringMatching(/^\d+$/) })
  const text = await runCommand(['status', '--rpc', rpc], COMMAND_MAX_MS)
  expect(text).toMatchObject({ code: 0, stdout: expect.stringMatching(/^heads +latest \d+ · safe \d+ · finalized \d+\n/) })
})

test('what nobody knows and what was typed wrong is said, each by its exit code', async () => {
  const cases = [
    [['status', '--tx', NOBODYS_HASH], 1, ''],
    [['status', '--deposit', '99'], 1, ''],
    [['status', '--withdrawal', '99'], 1, ''],
    [['status', '--tx', '0x12'], 2, '--tx is the hash of a transaction'],
    [['status', '--tx', NOBODYS_HASH, '--deposit', '0'], 2, 'name one of'],
    [['status', '--rpc', 'nowhere'], 2, '--rpc is a URL'],
    [['prove', '--key-file', keyFile], 2, 'name either'],
    [['prove', '--withdrawal', '1'], 2, '--key-file FILE is required'],
    [['prove', '--key-file', keyFile, '--withdrawal', '99'], 1, 'the rollup made no withdrawal 99'],
    [['withdraw', '--key-file', keyFile, '--amount', '0'], 2, '--amount is a number of OPEN above zero'],
    [['withdraw', '--key-file', keyFile, '--amount', '1', '--from', 'gift'], 2, '--from is ledger or evm'],
    [['withdraw', '--key-file', keyFile, '--amount', '1', '--to', '0x12'], 2, '--to is an address'],
    [['withdraw', '--key-file', keyFile, '--amount', '9999999999'], 1, ''],
  ] as const
  const answers = await Promise.all(cases.map(([[command, ...rest]]) => run(command, ...rest)))
  const seen = cases.map(([words, , says], i) => [...words, answers[i]?.code, answers[i]?.stderr.includes(says)])
  expect(seen).toEqual(cases.map(([words, code]) => [...words, code, true]))
})

test('a node whose genesis file makes another ledger root than the published one does not start', async () => {
  const { dataDir, l1, p2p } = stage.devnet.ready()
  const own = join(folder, 'other')
  const genesis = JSON.parse(readFileSync(join(dataDir, 'genesis.json'), 'utf8'))
  genesis.accounts[0].ledgerWei = '1'
  mkdirSync(own)
  writeFileSync(join(own, 'genesis.json'), JSON.stringify(genesis))
  const words = ['node', '--l1', l1, '--data-dir', own, '--bootstrap', p2p, '--p2p-host', '127.0.0.1', '--p2p-port', '0', '--rpc-port', '0']
  const { code, stderr } = await runCommand(words, COMMAND_MAX_MS)
  expect([code, stderr.slice(-2_000)]).toEqual([1, expect.stringContaining('the inbox was published with the genesis ledger root')])
})

/** Of the account that holds OPEN on L1. */
function keyFile0(): string {
  const file = join(folder, 'key0')
  writeFileSync(file, DEVNET_KEYS[0] ?? '')
  return file
}
