/** What leaves the rollup leaves once, by proof against a mature checkpoint, and to whom it belongs. Spec: docs/spec/settlement.md#bridge */
import { encodeFunctionData, type Hex, hexToBytes, numberToHex, zeroHash } from 'viem'
import type { PrivateKeyAccount } from 'viem/accounts'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { earningsAt } from '../../execution/ledger/earnings.ts'
import { accounts, earnings, maturities, withdrawals } from '../../execution/ledger/tables.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { bridgeAbi, checkpointManagerAbi, openTokenAbi, portalAbi, systemConfigAbi, validatorRegistryAbi } from '../../settlement/abi.ts'
import { L1_PARAMETER } from '../../settlement/checkpoint.ts'
import { depositBranch, depositLeaf, depositLog } from '../../settlement/depositTree.ts'
import { type L1Log, parseDeposits } from '../../settlement/l1Logs.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import {
  addressOf,
  CHALLENGE_WINDOW_SEC,
  callerAbi,
  deployCaller,
  type L1Stage,
  mined,
  refusal,
  STAGE_CHECKPOINTS,
  type StageClient,
  stageClient,
} from '../fakes/l1Stage.ts'
import { testAccounts } from '../fakes/testChain.ts'
import { keyOf, possessionOf } from './registrant.ts'
import { openSettled, pass, type Settled, type SettledChain, submit } from './settledChain.ts'

const TO: Hex = '0x00000000000000000000000000000000000b41d6'
const ALIAS_OFFSET = 0x1111000000000000000000000000000000001111n
const [alice, bob] = testAccounts as [PrivateKeyAccount, PrivateKeyAccount]
const HELD = 1_000_000n * OPEN_WEI

let anvil: Anvil
let l1: L1Stage
let rollup: SettledChain
let holder: StageClient
let other: StageClient

beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())
beforeEach(async () => {
  ;({ l1, rollup } = await openSettled(anvil))
  const [first, second] = [alice, bob].map((account) => stageClient(l1.url, account))
  if (!first || !second) throw new Error('there are two')
  holder = first
  other = second
  for (const one of [holder, other]) await l1.user.setBalance({ address: one.account.address, value: 10n ** 18n })
  const { openToken, portal } = l1.deployment
  const backing = [portal, 10n * HELD] as const
  await mined(l1.user, await l1.user.writeContract({ address: openToken, abi: openTokenAbi, functionName: 'transfer', args: backing }))
})

const bridge = () => ({ address: l1.deployment.bridge, abi: bridgeAbi }) as const
const manager = () => ({ address: l1.deployment.checkpointManager, abi: checkpointManagerAbi }) as const
const balanceOf = (account: Hex) =>
  l1.user.readContract({ address: l1.deployment.openToken, abi: openTokenAbi, functionName: 'balanceOf', args: [account] })

/** What `TO` gets while this happens. */
async function paid(what: () => Promise<Hex>): Promise<bigint> {
  const before = await balanceOf(TO)
  await mined(l1.user, await what())
  return (await balanceOf(TO)) - before
}

async function mature(settled: Settled): Promise<void> {
  await mined(l1.submitter, await submit(l1, settled))
  await pass(l1, CHALLENGE_WINDOW_SEC)
}

async function close(): Promise<void> {
  await pass(l1, STAGE_CHECKPOINTS.exitTimeoutSec)
  await mined(l1.user, await l1.user.writeContract({ ...manager(), functionName: 'close' }))
}

/** The call that pays withdrawal `index` by the checkpoint with this id. */
function finalize(
  { checkpoint, prove }: Settled,
  index: bigint,
  changes: { id?: bigint; amount?: bigint; fromEvm?: number } = {},
): Promise<Hex> {
  const { record, siblings } = prove(withdrawals.number, withdrawals.encodeId({ withdrawalIndex: index }))
  const { id = 0n, ...others } = changes
  const withdrawal = { ...withdrawals.decode(hexToBytes(record ?? '0x')), ...others }
  const args = [id, checkpoint, index, withdrawal, siblings] as const
  return l1.user.writeContract({ ...bridge(), functionName: 'finalizeWithdrawal', args })
}

test('a withdrawal is paid by a checkpoint that is mature, once, and what it says', async () => {
  const settled = await rollup.settle([await rollup.withdrawal(TO, 7n), await rollup.withdrawal(TO, 9n)])
  expect(await refusal(finalize(settled, 1n))).toEqual(['UnknownCheckpoint', 0n])
  await mined(l1.submitter, await submit(l1, settled))
  expect((await refusal(finalize(settled, 1n)))?.[0]).toBe('NotMature')
  await pass(l1, CHALLENGE_WINDOW_SEC)
  expect(await refusal(finalize(settled, 1n, { amount: 8n }))).toEqual(['BadProof'])
  const otherRoot = { ...settled, checkpoint: { ...settled.checkpoint, ledgerRoot: zeroHash } }
  expect((await refusal(finalize(otherRoot, 1n)))?.[0]).toBe('CheckpointMismatch')
  expect(await paid(() => finalize(settled, 1n))).toBe(7n)
  const [event] = await l1.user.getContractEvents({ ...bridge(), eventName: 'WithdrawalFinalized', fromBlock: l1.deployment.firstL1Block })
  expect(event?.args).toMatchObject({ index: 1n, from: alice.address, amount: 7n })
  expect(await refusal(finalize(settled, 1n))).toEqual(['AlreadyPaid'])
  expect(await paid(() => finalize(settled, 2n))).toBe(9n)
})

test('a later checkpoint pays what an earlier one had, and what an earlier one paid it does not', async () => {
  const first = await rollup.settle([await rollup.withdrawal(TO, 7n)])
  const second = await rollup.settle([await rollup.withdrawal(TO, 9n)])
  await mature(first)
  await mature(second)
  expect(await paid(() => finalize(first, 1n))).toBe(7n)
  expect(await refusal(finalize(second, 1n, { id: 1n }))).toEqual(['AlreadyPaid'])
  expect(await paid(() => finalize(second, 2n, { id: 1n }))).toBe(9n)
})

// ---- of the EVM ----------------------------------------------------------------------------------------------------------------------

const { evmWindowSec, evmExitWeiPerDay, freezeSec } = STAGE_CHECKPOINTS

/** A ledger whose first withdrawal is the ledger's own, and the others, of these amounts, are the EVM's. */
const settleEvm = (...amounts: bigint[]) =>
  rollup.settleLedger(
    [7n, ...amounts].map((amount, i) => ({
      table: withdrawals.number,
      id: withdrawals.encodeId({ withdrawalIndex: BigInt(i + 1) }),
      record: withdrawals.encode({ from: addressOf(holder), to: TO, amount, blockNumber: 1n, fromEvm: i === 0 ? 0 : 1 }),
    })),
  )
const submitted = async (settled: Settled) => {
  const { blockNumber } = await mined(l1.submitter, await submit(l1, settled))
  return (await l1.user.getBlock({ blockNumber })).timestamp
}
const freeze = (id: bigint, from: StageClient) => from.writeContract({ ...bridge(), functionName: 'freezeEvmExits', args: [id] })
const allowance = () => l1.user.readContract({ ...bridge(), functionName: 'evmAllowance' })

/** Registers a validator of its own key, which the stage's first set has not, for this account. */
async function becomeValidator(client: StageClient, index: number): Promise<void> {
  const { openToken, validatorRegistry } = l1.deployment
  const token = { address: openToken, abi: openTokenAbi } as const
  await mined(l1.user, await l1.user.writeContract({ ...token, functionName: 'transfer', args: [addressOf(client), OPEN_WEI] }))
  await mined(client, await client.writeContract({ ...token, functionName: 'approve', args: [validatorRegistry, OPEN_WEI] }))
  const args = [keyOf(index), possessionOf(index, addressOf(client)), addressOf(client), OPEN_WEI] as const
  const call = { address: validatorRegistry, abi: validatorRegistryAbi, functionName: 'register', args } as const
  await mined(client, await client.writeContract(call))
}

test('a withdrawal of the EVM is paid when the longer window is over, one of the ledger as ever', async () => {
  const settled = await settleEvm(9n)
  const sinceSec = await submitted(settled)
  await pass(l1, CHALLENGE_WINDOW_SEC)
  expect(await paid(() => finalize(settled, 1n))).toBe(7n)
  expect(await refusal(finalize(settled, 2n))).toEqual(['EvmWindowOpen', sinceSec + BigInt(evmWindowSec)])
  expect(await refusal(finalize(settled, 2n, { fromEvm: 0 }))).toEqual(['BadProof'])
  await pass(l1, evmWindowSec - CHALLENGE_WINDOW_SEC)
  expect(await paid(() => finalize(settled, 2n))).toBe(9n)
  expect(await refusal(finalize(settled, 2n))).toEqual(['AlreadyPaid'])
})

test('the window of the EVM is the one that ruled when the checkpoint was submitted', async () => {
  const config = { address: l1.deployment.systemConfig, abi: systemConfigAbi } as const
  await mined(l1.owner, await l1.owner.writeContract({ ...config, functionName: 'announce', args: [L1_PARAMETER.evmWindowSec, 100n] }))
  await pass(l1, STAGE_CHECKPOINTS.changeDelaySec)
  const settled = await settleEvm(9n)
  const sinceSec = await submitted(settled)
  await pass(l1, 1)
  await mined(l1.user, await l1.user.writeContract({ ...config, functionName: 'execute', args: [L1_PARAMETER.evmWindowSec] }))
  await pass(l1, 1)
  const later = await rollup.settle()
  const laterSec = await submitted(later)
  const payableFrom = (id: bigint) => l1.user.readContract({ ...bridge(), functionName: 'evmPayableFromSec', args: [id] })
  expect([await payableFrom(0n), await payableFrom(1n)]).toEqual([sinceSec + BigInt(evmWindowSec), laterSec + 100n])
})

test('withdrawals of the EVM are paid out of an allowance that refills over a day, one that is larger than it in parts', async () => {
  const whole = 2n * evmExitWeiPerDay
  const settled = await settleEvm(1n, whole)
  await submitted(settled)
  await pass(l1, evmWindowSec)
  expect(await paid(() => finalize(settled, 2n))).toBe(1n)
  const first = await paid(() => finalize(settled, 3n))
  // All of the allowance, but for the other one's wei where no second is between them.
  expect(evmExitWeiPerDay - first).toBeLessThanOrEqual(1n)
  const [event] = await l1.user.getContractEvents({ ...bridge(), eventName: 'WithdrawalPaidInPart', fromBlock: l1.deployment.firstL1Block })
  expect(event?.args).toMatchObject({ index: 3n, amount: first, left: whole - first })
  expect(await l1.user.readContract({ ...bridge(), functionName: 'isFinalized', args: [3n] })).toBe(false)
  expect(await l1.user.readContract({ ...bridge(), functionName: 'paidInPart', args: [3n] })).toBe(first)
  await pass(l1, 3_600)
  const anHour = evmExitWeiPerDay / 24n
  expect(await allowance()).toBeGreaterThanOrEqual(anHour)
  const second = await paid(() => finalize(settled, 3n))
  expect(second).toBeGreaterThanOrEqual(anHour)
  expect(second).toBeLessThan(2n * anHour)
  await pass(l1, 86_400)
  expect(await allowance()).toBe(evmExitWeiPerDay)
  expect(await paid(() => finalize(settled, 3n))).toBe(whole - first - second)
  expect(await l1.user.readContract({ ...bridge(), functionName: 'isFinalized', args: [3n] })).toBe(true)
  expect(await refusal(finalize(settled, 3n))).toEqual(['AlreadyPaid'])
  expect(await paid(() => finalize(settled, 1n))).toBe(7n)
})

test('one validator holds the EVM’s withdrawals of a checkpoint and of later ones back for a while; earlier ones, and the ledger’s, are paid', async () => {
  await becomeValidator(other, 7)
  const good = await settleEvm(9n)
  await submitted(good)
  await pass(l1, 100)
  const bad = await settleEvm(9n, 11n)
  await submitted(bad)
  await submitted(await rollup.settle())
  await pass(l1, evmWindowSec - 30)
  expect(await refusal(freeze(1n, l1.user))).toEqual(['NotValidator'])
  expect(await refusal(freeze(3n, other))).toEqual(['UnknownCheckpoint', 3n])
  const { blockNumber } = await mined(other, await freeze(1n, other))
  const untilSec = (await l1.user.getBlock({ blockNumber })).timestamp + BigInt(freezeSec)
  const [event] = await l1.user.getContractEvents({ ...bridge(), eventName: 'EvmExitsFrozen', fromBlock: blockNumber })
  expect(event?.args).toEqual({ fromId: 1n, validator: other.account.address, untilSec })
  const isFrozen = (id: bigint) => l1.user.readContract({ ...bridge(), functionName: 'isFrozen', args: [id] })
  expect(await Promise.all([0n, 1n, 2n, 3n].map(isFrozen))).toEqual([false, true, true, true])
  await pass(l1, 30)
  expect(await paid(() => finalize(good, 2n))).toBe(9n)
  expect(await paid(() => finalize(bad, 1n, { id: 1n }))).toBe(7n)
  expect(await refusal(finalize(bad, 3n, { id: 1n }))).toEqual(['Frozen', untilSec])
  expect(await refusal(finalize(bad, 3n, { id: 0n }))).toEqual(['CheckpointMismatch', expect.any(String)])
  await pass(l1, freezeSec)
  expect(await isFrozen(1n)).toBe(false)
  expect(await paid(() => finalize(bad, 3n, { id: 1n }))).toBe(11n)
})

test('a validator freezes a fifth of the time at most, nothing whose window is over, and others may go on where it ends', async () => {
  await becomeValidator(other, 7)
  await becomeValidator(holder, 8)
  await submitted(await settleEvm(9n))
  await pass(l1, evmWindowSec - 20)
  const { blockNumber } = await mined(other, await freeze(0n, other))
  const { timestamp } = await l1.user.getBlock({ blockNumber })
  const againSec = timestamp + 5n * BigInt(freezeSec)
  expect(await refusal(freeze(0n, other))).toEqual(['FrozeLately', againSec])
  await pass(l1, 50)
  // The window of the checkpoint is over, but what froze it still does.
  await mined(holder, await freeze(0n, holder))
  const [fromId, untilSec] = await l1.user.readContract({ ...bridge(), functionName: 'evmFreeze' })
  expect(fromId).toBe(0n)
  expect(untilSec).toBeGreaterThanOrEqual(timestamp + BigInt(freezeSec) + 50n)
  await pass(l1, 5 * freezeSec - 50)
  expect((await refusal(freeze(0n, other)))?.[0]).toBe('EvmWindowOver')
  await mined(l1.submitter, await submit(l1, await rollup.settle()))
  expect(await refusal(freeze(1n, other))).toBeUndefined()
  const leaving = { address: l1.deployment.validatorRegistry, abi: validatorRegistryAbi, functionName: 'requestExit' } as const
  await mined(holder, await holder.writeContract(leaving))
  expect(await refusal(freeze(1n, holder))).toEqual(['NotValidator'])
})

test('nobody but the bridge takes OPEN out of the portal', async () => {
  const call = { address: l1.deployment.portal, abi: portalAbi, functionName: 'release', args: [TO, 1n] } as const
  for (const client of [l1.owner, l1.user, l1.submitter]) expect(await refusal(client.writeContract(call))).toEqual(['NotBridge'])
})

/** The call by which a client takes the record of `account` out. */
function exit({ checkpoint, prove }: Settled, account: Hex, from: StageClient): Promise<Hex> {
  const { record, siblings } = prove(accounts.number, accounts.encodeId({ account }))
  const args = [checkpoint, accounts.decode(hexToBytes(record ?? '0x')), siblings, TO] as const
  return from.writeContract({ ...bridge(), functionName: 'exit', args })
}

test('balances leave a closed rollup by its last mature checkpoint, to whom their holders say, once; withdrawals go on', async () => {
  const settled = await rollup.settle([await rollup.withdrawal(TO, 7n)])
  await mature(settled)
  const late = await rollup.settle([await rollup.withdrawal(TO, 5n)])
  expect(await refusal(exit(settled, addressOf(holder), holder))).toEqual(['NotClosed'])
  await pass(l1, STAGE_CHECKPOINTS.exitTimeoutSec - 10)
  await mined(l1.submitter, await submit(l1, late))
  await pass(l1, 20)
  await mined(l1.user, await l1.user.writeContract({ ...manager(), functionName: 'close' }))
  await pass(l1, CHALLENGE_WINDOW_SEC)

  expect((await refusal(exit(late, addressOf(holder), holder)))?.[0]).toBe('CheckpointMismatch')
  expect(await refusal(finalize(late, 2n, { id: 1n }))).toEqual(['UnknownCheckpoint', 1n])
  expect(await refusal(exit(settled, addressOf(holder), other))).toEqual(['BadProof'])
  const left = accounts.decode(
    hexToBytes(settled.prove(accounts.number, accounts.encodeId({ account: addressOf(holder) })).record ?? '0x'),
  ).balance
  expect(left).toBeLessThan(HELD - 7n)
  expect(await paid(() => exit(settled, addressOf(holder), holder))).toBe(left)
  expect(await refusal(exit(settled, addressOf(holder), holder))).toEqual(['AlreadyPaid'])
  expect(await paid(() => exit(settled, addressOf(other), other))).toBe(HELD)
  expect(await paid(() => finalize(settled, 1n))).toBe(7n)
})

test('a prepaid balance leaves with its account, an empty account does not, and a contract takes its alias’s', async () => {
  const caller = await deployCaller(l1.user)
  const alias = numberToHex((BigInt(caller) + ALIAS_OFFSET) % 2n ** 160n, { size: 20 })
  const record = (index: number, balance: bigint, prepaid: bigint) => accounts.encode({ index, balance, prepaid, unlockAt: 0n, nonce: 3n })
  const of = (account: Hex) => ({ table: accounts.number, id: accounts.encodeId({ account }) })
  const settled = await rollup.settleLedger([
    { ...of(addressOf(holder)), record: record(1, 4n, 5n) },
    { ...of(addressOf(other)), record: record(2, 0n, 0n) },
    { ...of(alias), record: record(3, 6n, 0n) },
    { ...of(caller), record: record(4, 8n, 0n) },
  ])
  await mature(settled)
  await close()
  expect(await paid(() => exit(settled, addressOf(holder), holder))).toBe(9n)
  expect(await refusal(exit(settled, addressOf(other), other))).toEqual(['NothingToPay'])
  const throughContract = (account: Hex) => {
    const { record: bytes, siblings } = settled.prove(accounts.number, accounts.encodeId({ account }))
    const args = [settled.checkpoint, accounts.decode(hexToBytes(bytes ?? '0x')), siblings, TO] as const
    const data = encodeFunctionData({ abi: bridgeAbi, functionName: 'exit', args })
    return l1.user.writeContract({ address: caller, abi: callerAbi, functionName: 'call', args: [l1.deployment.bridge, data] })
  }
  await expect(throughContract(caller)).rejects.toThrow()
  expect(await paid(() => throughContract(alias))).toBe(6n)
})

test('what was earned in a mature epoch leaves a closed rollup, once for each epoch and account', async () => {
  const epoch = 9
  const { timestamp } = await l1.user.getBlock()
  const far = timestamp + 10n ** 6n
  const amounts = Array.from({ length: 16 }, (_, i) => (i === 2 ? 11n : i === 3 ? 0n : 100n))
  const account = (index: number) => accounts.encode({ index, balance: 1n, prepaid: 0n, unlockAt: 0n, nonce: 0n })
  const settled = await rollup.settleLedger([
    { table: accounts.number, id: accounts.encodeId({ account: addressOf(holder) }), record: account(18) },
    { table: accounts.number, id: accounts.encodeId({ account: addressOf(other) }), record: account(19) },
    ...[epoch, epoch + 1].flatMap((one) => [
      { table: earnings.number, id: earnings.encodeId({ epoch: one, group: 1 }), record: earnings.encode({ amounts }) },
      {
        table: maturities.number,
        id: maturities.encodeId({ epoch: one }),
        record: maturities.encode({ atSec: one === epoch ? timestamp : far }),
      },
    ]),
  ])
  expect(earningsAt({ account: 18, epoch }).place).toBe(2)
  await mature(settled)
  const exitEarnings = (from: StageClient, at: number, changes: { amounts?: bigint[] } = {}) => {
    const own = settled.prove(accounts.number, accounts.encodeId({ account: addressOf(from) }))
    const earned = settled.prove(earnings.number, earnings.encodeId({ epoch: at, group: 1 }))
    const maturity = settled.prove(maturities.number, maturities.encodeId({ epoch: at }))
    const { atSec } = maturities.decode(hexToBytes(maturity.record ?? '0x'))
    const proofs = [own.siblings, earned.siblings, maturity.siblings] as const
    const record = accounts.decode(hexToBytes(own.record ?? '0x'))
    const args = [settled.checkpoint, record, at, changes.amounts ?? amounts, atSec, proofs, TO] as never
    return from.writeContract({ ...bridge(), functionName: 'exitEarnings', args })
  }
  expect(await refusal(exitEarnings(holder, epoch))).toEqual(['NotClosed'])
  await close()
  expect(await refusal(exitEarnings(holder, epoch, { amounts: amounts.map(() => 12n) }))).toEqual(['BadProof'])
  expect(await refusal(exitEarnings(holder, epoch + 1))).toEqual(['EpochNotMature', far])
  expect(await refusal(exitEarnings(other, epoch))).toEqual(['NothingToPay'])
  expect(await paid(() => exitEarnings(holder, epoch))).toBe(11n)
  expect(await refusal(exitEarnings(holder, epoch))).toEqual(['AlreadyPaid'])
})

test('a deposit that the closed rollup had not executed goes back to who made it, once', async () => {
  const { openToken, portal } = l1.deployment
  const at = { address: portal, abi: portalAbi } as const
  await mined(
    l1.user,
    await l1.user.writeContract({ address: openToken, abi: openTokenAbi, functionName: 'approve', args: [portal, 100n] }),
  )
  for (const amount of [3n, 4n, 5n]) {
    await mined(l1.user, await l1.user.writeContract({ ...at, functionName: 'depositToLedger', args: [TO, amount, false] }))
  }
  await mined(l1.user, await l1.user.writeContract({ ...at, functionName: 'forceTransaction', args: [TO, 9n, 21_000n, '0x'] }))
  const queued = parseDeposits((await l1.user.getLogs({ address: portal, fromBlock: l1.deployment.firstL1Block })) as L1Log[])
  const leaves = queued.map(depositLeaf)
  const refund = (index: number, from: StageClient, shown = index) => {
    const { l1Block, deposit } = queued[index] ?? {}
    if (!l1Block || !deposit) throw new Error('there is such a deposit')
    const { to, opaqueData } = depositLog(deposit)
    const args = [BigInt(index), l1Block.number, to, opaqueData, depositBranch(leaves, shown), TO] as never
    return from.writeContract({ ...bridge(), functionName: 'refundDeposit', args })
  }
  expect(await refusal(refund(1, l1.user))).toEqual(['NotClosed'])
  const { origin } = rollup.chain.genesis.l1
  const info = {
    ...origin,
    number: origin.number + 1n,
    timestampSec: origin.timestampSec + 1n,
    baseFee: 7n,
    blobBaseFee: 1n,
    depositCursor: 1n,
  }
  const [first] = queued
  if (!first) throw new Error('there is one')
  await mature(await rollup.settle([], { origin: { info, deposits: [first.deposit] } }))
  await close()
  expect(await refusal(refund(0, l1.user))).toEqual(['DepositExecuted', 1n])
  expect(await refusal(refund(1, other))).toEqual(['BadProof'])
  expect(await refusal(refund(1, l1.user, 2))).toEqual(['BadProof'])
  expect(await refusal(refund(3, l1.user))).toEqual(['NothingToPay'])
  expect(await paid(() => refund(1, l1.user))).toBe(4n)
  expect(await refusal(refund(1, l1.user))).toEqual(['AlreadyPaid'])
  expect(await paid(() => refund(2, l1.user))).toBe(5n)
})

test('a rollup that closes without any mature checkpoint pays deposits back and nothing else', async () => {
  const settled = await rollup.settle()
  await close()
  expect(await refusal(exit(settled, addressOf(holder), holder))).toEqual(['NothingMature'])
})
