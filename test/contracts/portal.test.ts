import { concatHex, encodeFunctionData, type Hex, numberToHex, parseAbi, parseSignature, zeroAddress, zeroHash } from 'viem'
import { extractTransactionDepositedLogs, opaqueDataToDepositData } from 'viem/op-stack'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { portalBytecode, taxedTokenBytecode } from '../../contracts/artifacts.ts'
import { ledgerDepositTarget } from '../../execution/deposit.ts'
import { DOOR, OPEN_WEI } from '../../genesis/params.ts'
import { openTokenAbi, portalAbi } from '../../settlement/abi.ts'
import { depositBranch, depositLeaf } from '../../settlement/depositTree.ts'
import { depositAccumulator, type L1Log, parseDeposits } from '../../settlement/l1Logs.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { addressOf, callerAbi, deployCaller, deployStage, type L1Stage, mined, refusal, type StageClient } from '../fakes/l1Stage.ts'

const RECIPIENT: Hex = '0x00000000000000000000000000000000000000aa'
const ALIAS_OFFSET = 0x1111000000000000000000000000000000001111n

let anvil: Anvil
let l1: L1Stage
beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())
beforeEach(async () => {
  l1 = await deployStage(anvil)
  await approve(l1.user, 1_000n * OPEN_WEI)
})

const portal = () => ({ address: l1.deployment.portal, abi: portalAbi }) as const
const token = () => ({ address: l1.deployment.openToken, abi: openTokenAbi }) as const
const me = () => addressOf(l1.user)

async function approve(client: StageClient, amountWei: bigint): Promise<void> {
  await mined(client, await client.writeContract({ ...token(), functionName: 'approve', args: [l1.deployment.portal, amountWei] }))
}

/** What derivation reads of all deposits so far. */
async function deposits() {
  const logs = await l1.user.getLogs({ address: l1.deployment.portal, fromBlock: 0n })
  return parseDeposits(logs as L1Log[])
}

async function lastDeposit() {
  const last = (await deposits()).at(-1)?.deposit
  if (!last) throw new Error('there is no deposit')
  return last
}

const toLedger = (to: Hex, amountWei: bigint, prepaid = false) =>
  l1.user.writeContract({ ...portal(), functionName: 'depositToLedger', args: [to, amountWei, prepaid] })
const toEvm = ({
  to = RECIPIENT,
  amountWei = 0n,
  gas = 21_000n,
  data = '0x',
}: {
  to?: Hex
  amountWei?: bigint
  gas?: bigint
  data?: Hex
}) => l1.user.writeContract({ ...portal(), functionName: 'depositToEvm', args: [to, amountWei, gas, data] })

test('a ledger deposit names who gets it, and the OPEN is in the portal', async () => {
  await mined(l1.user, await toLedger(RECIPIENT, 5n))
  const balance = await lastDeposit()
  expect(balance).toMatchObject({ from: me(), to: DOOR.ledger, mintWei: 5n, valueWei: 0n, gas: 0n, isSystem: false })
  expect(ledgerDepositTarget(balance)).toEqual({ to: RECIPIENT, prepaid: false })
  await mined(l1.user, await toLedger(RECIPIENT, 6n, true))
  expect(ledgerDepositTarget(await lastDeposit())).toEqual({ to: RECIPIENT, prepaid: true })
  expect(await l1.user.readContract({ ...token(), functionName: 'balanceOf', args: [l1.deployment.portal] })).toBe(11n)
})

test('a deposit to the EVM mints to the sender and calls with it; it may carry nothing', async () => {
  await mined(l1.user, await toEvm({ amountWei: 7n, gas: 100_000n, data: '0xabcdef' }))
  expect(await lastDeposit()).toMatchObject({ from: me(), to: RECIPIENT, mintWei: 7n, valueWei: 7n, gas: 100_000n, data: '0xabcdef' })
  await mined(l1.user, await toEvm({}))
  expect(await lastDeposit()).toMatchObject({ mintWei: 0n, valueWei: 0n, gas: 21_000n, data: '0x' })
})

test('a creation has no recipient; a forced transaction mints nothing', async () => {
  await mined(l1.user, await l1.user.writeContract({ ...portal(), functionName: 'createOnEvm', args: [3n, 200_000n, '0x6001'] }))
  expect(await lastDeposit()).toMatchObject({ from: me(), to: undefined, mintWei: 3n, valueWei: 3n, gas: 200_000n, data: '0x6001' })
  const args = [RECIPIENT, 9n, 50_000n, '0x01'] as const
  await mined(l1.user, await l1.user.writeContract({ ...portal(), functionName: 'forceTransaction', args }))
  expect(await lastDeposit()).toMatchObject({ from: me(), to: RECIPIENT, mintWei: 0n, valueWei: 9n, gas: 50_000n, data: '0x01' })
})

test("the events are the OP Stack's: viem's own parser reads them", async () => {
  const { logs } = await mined(l1.user, await toEvm({ amountWei: 7n, gas: 100_000n, data: '0xabcdef' }))
  const [log] = extractTransactionDepositedLogs({ logs })
  expect(log?.args).toMatchObject({ from: l1.user.account.address, version: 0n })
  expect(opaqueDataToDepositData(log?.args.opaqueData ?? '0x')).toEqual({
    mint: 7n,
    value: 7n,
    gas: 100_000n,
    isCreation: false,
    data: '0xabcdef',
  })
})

test('deposits chain: indexes count up and the accumulator is what TypeScript computes', async () => {
  await mined(l1.user, await toLedger(RECIPIENT, 1n))
  await mined(l1.user, await toEvm({ amountWei: 2n }))
  const opaque = (mint: bigint, value: bigint, gas: bigint, data: Hex) =>
    concatHex([numberToHex(mint, { size: 32 }), numberToHex(value, { size: 32 }), numberToHex(gas, { size: 8 }), '0x00', data])
  const transferAbi = parseAbi(['function transfer(uint8 kind, address to, uint96 amount)'])
  const transfer = encodeFunctionData({ abi: transferAbi, args: [0, RECIPIENT, 1n] })
  const first = depositAccumulator(zeroHash, { index: 0n, from: me(), to: DOOR.ledger, opaqueData: opaque(1n, 0n, 0n, transfer) })
  const second = depositAccumulator(first, { index: 1n, from: me(), to: RECIPIENT, opaqueData: opaque(2n, 2n, 21_000n, '0x') })
  expect((await deposits()).map(({ index, accumulator }) => [index, accumulator])).toEqual([
    [0n, first],
    [1n, second],
  ])
  expect(await l1.user.readContract({ ...portal(), functionName: 'depositCount' })).toBe(2n)
  expect(await l1.user.readContract({ ...portal(), functionName: 'accumulator' })).toBe(second)
})

test('each deposit is a leaf of the tree at its place, and the portal knows when it was queued', async () => {
  const isDeposit = (leaves: readonly Hex[], index: number, branch: readonly Hex[], leaf = leaves[index] ?? zeroHash) =>
    l1.user.readContract({ ...portal(), functionName: 'isDeposit', args: [BigInt(index), leaf, branch] })
  expect(await isDeposit([], 0, [])).toBe(false)
  const queuedAt = (index: bigint) => l1.user.readContract({ ...portal(), functionName: 'queuedAtSec', args: [index] })
  expect(await refusal(queuedAt(0n))).toEqual(['DepositNotQueued', 0n])
  for (let i = 0; i < 11; i++) {
    const { blockNumber } = await mined(l1.user, await (i % 3 === 0 ? toLedger(RECIPIENT, 1n) : toEvm({ data: '0x1234' })))
    const logs = await l1.user.getLogs({ address: l1.deployment.portal, fromBlock: l1.deployment.firstL1Block })
    const leaves = parseDeposits(logs as L1Log[]).map(depositLeaf)
    const shown = await Promise.all(leaves.map((_, index) => isDeposit(leaves, index, depositBranch(leaves, index))))
    expect(shown).toEqual(leaves.map(() => true))
    // Nothing else stands there: no other leaf, no leaf elsewhere, no node in a leaf's place, nothing behind the last one.
    const [first = zeroHash] = leaves
    const branch = depositBranch(leaves, 0)
    expect(await isDeposit(leaves, 0, branch, leaves[1] ?? zeroHash)).toBe(false)
    if (i > 0) expect(await isDeposit(leaves, 1, branch, first)).toBe(false)
    if (i > 0) expect(await isDeposit(leaves, 0, branch.slice(1))).toBe(false)
    expect(await isDeposit(leaves, leaves.length, branch, first)).toBe(false)
    expect(await isDeposit(leaves, 0, [...branch, first])).toBe(false)
    expect(await queuedAt(BigInt(i))).toBe((await l1.user.getBlock({ blockNumber })).timestamp)
  }
})

test('a signed permit takes the place of an allowance, also where somebody has used it first', async () => {
  await approve(l1.user, 0n)
  const deadline = 2n ** 63n
  for (const isUsedFirst of [false, true]) {
    const nonce = await l1.user.readContract({ ...token(), functionName: 'nonces', args: [l1.user.account.address] })
    const signature = await l1.user.signTypedData({
      domain: { name: 'Open', version: '1', chainId: l1.user.chain.id, verifyingContract: l1.deployment.openToken },
      types: { Permit: ['address owner', 'address spender', 'uint256 value', 'uint256 nonce', 'uint256 deadline'].map(member) },
      primaryType: 'Permit',
      message: { owner: l1.user.account.address, spender: l1.deployment.portal, value: 4n, nonce, deadline },
    })
    const { r, s, yParity } = parseSignature(signature)
    const v = 27 + yParity
    const permit = [l1.user.account.address, l1.deployment.portal, 4n, deadline, v, r, s] as const
    if (isUsedFirst) await mined(l1.owner, await l1.owner.writeContract({ ...token(), functionName: 'permit', args: permit }))
    const args = [RECIPIENT, 4n, false, deadline, v, r, s] as const
    await mined(l1.user, await l1.user.writeContract({ ...portal(), functionName: 'depositToLedgerWithPermit', args }))
    expect(await lastDeposit()).toMatchObject({ from: me(), mintWei: 4n })
  }
})

function member(text: string): { type: string; name: string } {
  const [type = '', name = ''] = text.split(' ')
  return { type, name }
}

test('a contract gets an alias; a key keeps its address, with delegated code too', async () => {
  const caller = await deployCaller(l1.user)
  const alias = numberToHex((BigInt(caller) + ALIAS_OFFSET) % 2n ** 160n, { size: 20 })
  const data = encodeFunctionData({ abi: portalAbi, functionName: 'depositToEvm', args: [RECIPIENT, 0n, 21_000n, '0x'] })
  const callPortal = { abi: callerAbi, functionName: 'call', args: [l1.deployment.portal, data] } as const
  await mined(l1.user, await l1.user.writeContract({ ...callPortal, address: caller }))
  expect((await lastDeposit()).from).toBe(alias)
  const authorization = await l1.user.signAuthorization({ contractAddress: caller, executor: 'self' })
  const self = { to: l1.user.account.address, data: encodeFunctionData(callPortal), authorizationList: [authorization] }
  await mined(l1.user, await l1.user.sendTransaction(self))
  expect((await lastDeposit()).from).toBe(me())
  expect(await l1.user.getCode({ address: l1.user.account.address })).toBe(`0xef0100${caller.slice(2)}`)
})

test('amounts, recipients, gas and data have bounds', async () => {
  expect(await refusal(toLedger(RECIPIENT, 0n))).toEqual(['ZeroAmount'])
  expect(await refusal(toLedger(zeroAddress, 1n))).toEqual(['ZeroRecipient'])
  expect(await refusal(toEvm({ to: zeroAddress }))).toEqual(['ZeroRecipient'])
  const reserved = (n: number) => numberToHex(n, { size: 20 })
  expect(await refusal(toEvm({ to: reserved(0x0a00) }))).toEqual(['ReservedRecipient', reserved(0x0a00)])
  expect(await refusal(toEvm({ to: reserved(0x0a1f) }))).toEqual(['ReservedRecipient', reserved(0x0a1f)])
  const force = { ...portal(), functionName: 'forceTransaction', args: [reserved(0x0a00), 0n, 21_000n, '0x'] } as const
  expect(await refusal(l1.user.writeContract(force))).toEqual(['ReservedRecipient', reserved(0x0a00)])
  expect(await refusal(toEvm({ to: reserved(0x09ff) }))).toBeUndefined()
  expect(await refusal(toEvm({ to: reserved(0x0a20) }))).toBeUndefined()
  expect(await refusal(toEvm({ gas: 20_999n }))).toEqual(['GasOutOfRange', 20_999n])
  expect(await refusal(toEvm({ gas: 1_000_001n }))).toEqual(['GasOutOfRange', 1_000_001n])
  expect(await refusal(toEvm({ gas: 1_000_000n, data: `0x${'00'.repeat(10_000)}` }))).toBeUndefined()
  expect(await refusal(toEvm({ data: `0x${'00'.repeat(10_001)}` }))).toEqual(['DataTooLong', 10_001n])
})

test('without an allowance nothing is queued', async () => {
  await approve(l1.user, 0n)
  expect(await refusal(toLedger(RECIPIENT, 1n))).toEqual(['ERC20InsufficientAllowance', l1.deployment.portal, 0n, 1n])
  expect(await deposits()).toEqual([])
})

test('what is minted has arrived: a token that delivers less is refused', async () => {
  const { contractAddress: taxed } = await mined(
    l1.user,
    await l1.user.sendTransaction({ data: concatHex([taxedTokenBytecode, numberToHex(BigInt(me()), { size: 32 })]) }),
  )
  if (!taxed) throw new Error('no contract was made')
  const args = [taxed, RECIPIENT, RECIPIENT] as const
  const { contractAddress: other } = await mined(l1.user, await l1.user.deployContract({ abi: portalAbi, bytecode: portalBytecode, args }))
  if (!other) throw new Error('no contract was made')
  await mined(l1.user, await l1.user.writeContract({ address: taxed, abi: openTokenAbi, functionName: 'approve', args: [other, 10n] }))
  const call = { address: other, abi: portalAbi, functionName: 'depositToLedger', args: [RECIPIENT, 10n, false] } as const
  expect(await refusal(l1.user.writeContract(call))).toEqual(['WrongAmountReceived', 9n])
})

test('the deposits of one L1 block ask for at most 8,000,000 gas, each for at least 50,000; the next block has room again', async () => {
  await l1.user.setAutomine(false)
  try {
    const gasOf = [...Array<bigint>(7).fill(1_000_000n), ...Array<bigint>(20).fill(21_000n), 21_000n]
    let nonce = await l1.user.getTransactionCount({ address: me() })
    const hashes: Hex[] = []
    for (const gas of gasOf) {
      const data = encodeFunctionData({ abi: portalAbi, functionName: 'depositToEvm', args: [RECIPIENT, 0n, gas, '0x'] })
      hashes.push(await l1.user.sendTransaction({ to: l1.deployment.portal, data, gas: 200_000n, nonce: nonce++ }))
    }
    await l1.user.mine({ blocks: 1 })
    const receipts = await Promise.all(hashes.map((hash) => l1.user.getTransactionReceipt({ hash })))
    expect(new Set(receipts.map(({ blockNumber }) => blockNumber)).size).toBe(1)
    expect(receipts.map(({ status }) => status)).toEqual([...Array(27).fill('success'), 'reverted'])
  } finally {
    await l1.user.setAutomine(true)
  }
  expect(await refusal(toEvm({ gas: 1_000_000n }))).toBeUndefined()
})

test('the refusal of a full block says what is left', async () => {
  await l1.user.setAutomine(false)
  try {
    const data = encodeFunctionData({ abi: portalAbi, functionName: 'depositToEvm', args: [RECIPIENT, 0n, 950_000n, '0x'] })
    for (let i = 0; i < 8; i++) {
      const nonce = (await l1.user.getTransactionCount({ address: me(), blockTag: 'latest' })) + i
      await l1.user.sendTransaction({ to: l1.deployment.portal, data, gas: 200_000n, nonce })
    }
    const args = [RECIPIENT, 0n, 500_000n, '0x'] as const
    const call = { ...portal(), functionName: 'depositToEvm', args, account: l1.owner.account, blockTag: 'pending' } as const
    expect(await refusal(l1.owner.simulateContract(call))).toEqual(['BlockFull', 400_000n])
  } finally {
    await l1.user.setAutomine(true)
    await l1.user.mine({ blocks: 1 })
  }
})
