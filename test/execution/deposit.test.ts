import { encodeFunctionData, type Hex, parseAbi, parseEther } from 'viem'
import { expect, test } from 'vitest'
import { applyBlock } from '../../execution/applyBlock.ts'
import { type Deposit, decodeDeposit, encodeDeposit, l1InfoDeposit, parseL1Info } from '../../execution/deposit.ts'
import { getAccount, getL1Info, getSupply, type L1Info } from '../../execution/ledger/tables.ts'
import { DOOR } from '../../genesis/params.ts'
import { createTestChain, type TestChain } from '../fakes/testChain.ts'

const CAROL: Hex = `0x${'ca'.repeat(20)}`
const DAVE: Hex = `0x${'da'.repeat(20)}`

function origin(chain: TestChain, deposits: readonly Deposit[], step = 1n): { info: L1Info; deposits: readonly Deposit[] } {
  const before = getL1Info(chain.executor.state.ledger)
  const number = before.number + step
  return {
    info: {
      number,
      hash: `0x${number.toString(16).padStart(64, '0')}`,
      timestampSec: before.timestampSec + step,
      baseFee: 9n,
      blobBaseFee: 2n,
      prevRandao: `0x${'e1'.repeat(32)}`,
      depositCursor: before.depositCursor + BigInt(deposits.length),
    },
    deposits,
  }
}

const deposit = (fields: Partial<Deposit>): Deposit => ({
  sourceHash: `0x${'50'.repeat(32)}`,
  from: CAROL,
  to: DAVE,
  mintWei: 0n,
  valueWei: 0n,
  gas: 100_000n,
  isSystem: false,
  data: '0x',
  ...fields,
})

const toLedger = (kind: number, to: Hex, amount: bigint) =>
  encodeFunctionData({ abi: parseAbi(['function transfer(uint8 kind, address to, uint96 amount)']), args: [kind, to, amount] })

test('a deposit survives its encoding, and bytes cut anywhere or extended are none', () => {
  for (const one of [deposit({ mintWei: 5n, valueWei: 5n, data: '0x1234' }), deposit({ to: undefined })]) {
    const raw = encodeDeposit(one)
    expect(decodeDeposit(raw)).toEqual(one)
    for (let cut = 0; cut < raw.length; cut++) expect(decodeDeposit(raw.slice(0, cut))).toBeUndefined()
    expect(decodeDeposit(Uint8Array.from([...raw, 0]))).toBeUndefined()
  }
})

test('L1 info is written to the ledger and read back', async () => {
  const chain = await createTestChain()
  const step = origin(chain, [])
  const built = await chain.next([], { origin: step })
  expect(getL1Info(chain.executor.state.ledger)).toEqual(step.info)
  expect(built.block.header.parentBeaconBlockRoot).toBe(step.info.hash)
  expect(built.block.header.mixHash).toBe(step.info.prevRandao)
  const info = decodeDeposit(built.block.transactions[0] ?? new Uint8Array())
  expect(info && parseL1Info(info)).toEqual(step.info)
})

test.each([
  ['the balance of who is named', toLedger(0, DAVE, parseEther('3')), { to: DAVE, balance: parseEther('3'), prepaid: 0n }],
  ['the prepaid balance of who is named', toLedger(2, DAVE, parseEther('3')), { to: DAVE, balance: 0n, prepaid: parseEther('3') }],
  ['the depositor, if the amount is another', toLedger(0, DAVE, 1n), { to: CAROL, balance: parseEther('3'), prepaid: 0n }],
  ['the depositor, if the kind is another', toLedger(3, DAVE, parseEther('3')), { to: CAROL, balance: parseEther('3'), prepaid: 0n }],
  ['the depositor, if the data says nothing', '0x', { to: CAROL, balance: parseEther('3'), prepaid: 0n }],
] as const)('value to the ledger goes to %s', async (_, data, want) => {
  const chain = await createTestChain()
  const before = getSupply(chain.executor.state.ledger)
  const built = await chain.next([], { origin: origin(chain, [deposit({ to: DOOR.ledger, mintWei: parseEther('3'), gas: 0n, data })]) })
  expect(built.receipts.map(({ succeeded, gasUsed }) => [succeeded, gasUsed])).toEqual([
    [true, 0n],
    [true, 0n],
  ])
  const { ledger } = chain.executor.state
  expect(getAccount(ledger, want.to)).toMatchObject({ balance: want.balance, prepaid: want.prepaid })
  expect(getSupply(ledger)).toEqual({ ...before, deposited: before.deposited + parseEther('3') })
})

test('value to the EVM is minted and sent; a call that fails keeps the mint with the depositor', async () => {
  const chain = await createTestChain()
  const sent = deposit({ mintWei: parseEther('2'), valueWei: parseEther('2') })
  const tooMuch = deposit({ mintWei: parseEther('1'), valueWei: parseEther('9') })
  const built = await chain.next([], { origin: origin(chain, [sent, tooMuch]) })
  expect(built.receipts.map(({ succeeded, gasUsed }) => [succeeded, gasUsed])).toEqual([
    [true, 0n],
    [true, 21_000n],
    [false, 100_000n],
  ])
  const { state } = chain.executor
  expect(state.account(DAVE).balance).toBe(parseEther('2'))
  expect(state.account(CAROL)).toMatchObject({ balance: parseEther('1'), nonce: 2n })
  expect(getSupply(state.ledger).evmSupply).toBe(parseEther('8000003'))
})

test('a deposit without a recipient makes a contract', async () => {
  const chain = await createTestChain()
  const built = await chain.next([], {
    origin: origin(chain, [deposit({ to: undefined, gas: 200_000n, data: '0x6005600c60003960056000f3602a60005500' })]),
  })
  const address = built.receipts[1]?.contractAddress
  expect(address).toBeDefined()
  expect(
    await chain.executor.state.manager.getCode({ bytes: Uint8Array.from(Buffer.from(address?.slice(2) ?? '', 'hex')) } as never),
  ).toHaveLength(5)
})

test('a block is refused whose deposits are not where and what the rules say', async () => {
  const chain = await createTestChain()
  const step = origin(chain, [deposit({})])
  const raw = [encodeDeposit(l1InfoDeposit(step.info)), encodeDeposit(deposit({}))] as const
  const built = await chain.next([])
  const base = { ...built.block.header, parentBeaconBlockRoot: step.info.hash, mixHash: step.info.prevRandao }
  const code = async (transactions: readonly Uint8Array[], fields = {}) => {
    const other = await createTestChain()
    const verdict = await applyBlock(other.executor, other.head(), { header: { ...base, ...fields }, transactions })
    return verdict.ok ? 'ok' : verdict.code
  }
  expect(await code([])).toBe('l1InfoMissing')
  expect(await code([raw[1]])).toBe('l1InfoMissing')
  expect(await code([raw[1], raw[0]])).toBe('misplacedDeposit')
  expect(await code([raw[0]])).toBe('depositCursorMismatch')
  expect(await code([...raw], { mixHash: `0x${'00'.repeat(32)}` })).toBe('originMismatch')
  expect(await code([encodeDeposit(l1InfoDeposit({ ...step.info, number: 75n })), raw[1]])).toBe('badOrigin')
  expect(await code([encodeDeposit(l1InfoDeposit({ ...step.info, timestampSec: 9_999_999_999n })), raw[1]])).toBe('beforeOrigin')
  expect(await code([raw[0], encodeDeposit(deposit({ gas: 8_000_001n }))])).toBe('tooManyDeposits')
  expect(await code([...raw])).toBe('headerMismatch')
})
