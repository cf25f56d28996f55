/** What bytes cost, in blocks built, applied and re-executed from rows. Spec: docs/spec/transactions.md#fees */
import { encodeFunctionData, type Hex, hexToBytes, parseGwei } from 'viem'
import { expect, test } from 'vitest'
import { judgeEvidence } from '../../consensus/evidence.ts'
import type { Receipt } from '../../execution/block.ts'
import { dataFeeWei, dataPriceOf, NO_DATA_PRICE, rowByteGas } from '../../execution/fee.ts'
import { getAccount, getL1Info, getSupply } from '../../execution/ledger/tables.ts'
import { datanetsDoorAbi, gasPriceOracleAbi } from '../../execution/native/doorAbi.ts'
import { nativeGas, nativeRowBytes, operationRowBytes } from '../../execution/native/native.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { decodeStoredReceipts, encodeStoredReceipts } from '../../execution/storedReceipts.ts'
import { DOOR, FEE_VAULT, GAS_PRICE_ORACLE, OPEN_WEI, TREASURY } from '../../genesis/params.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { executeLane, groupsOf, laneRows, lookupsOf } from '../../settlement/lane.ts'
import { addressOf, createTestChain, signNative, type TestChain, testAccounts, testGenesis } from '../fakes/testChain.ts'

const CAROL: Hex = `0x${'ca'.repeat(20)}`
const SCALARS = { l1BaseFeeScalar: 5_000n * 10n ** 6n, l1BlobBaseFeeScalar: 10n ** 12n }
const MAX_GWEI = parseGwei('10')
const accountAt = (index: number) => {
  const account = testAccounts[index]
  if (!account) throw new Error('the chain has no such account')
  return account
}
const [alice, bob] = [accountAt(0), accountAt(1)]

const pricedChain = (scalars = SCALARS) => createTestChain({ params: scalars, precompiles: PRECOMPILES })
const priceIn = (chain: TestChain) => dataPriceOf(getL1Info(chain.executor.state.ledger), chain.genesis.params)
const evmBalance = (chain: TestChain, address: Hex) => chain.executor.state.account(address).balance

/** An origin with dearer L1 gas than the genesis block's. */
function dearer(chain: TestChain) {
  const before = getL1Info(chain.executor.state.ledger)
  const number = before.number + 1n
  return { info: { ...before, number, hash: `0x${'d7'.repeat(32)}` as Hex, baseFee: 70n, blobBaseFee: 11n }, deposits: [] }
}

async function transferOf(chain: TestChain, nonce: bigint, maxFeeWei: bigint) {
  const fields = { kind: 0, to: CAROL, amount: 5n }
  return chain.decode(await signNative(alice, { type: transfer, fields, nonce, chainId: chain.genesis.params.chainId, maxFeeWei }))
}

async function valueTransfer(chain: TestChain, nonce: number, value: bigint) {
  const shared = { type: 'eip1559', chainId: chain.genesis.params.chainId, maxFeePerGas: MAX_GWEI, maxPriorityFeePerGas: 0n } as const
  return chain.decode(await bob.signTransaction({ ...shared, gas: 21_000n, to: CAROL, value, nonce }))
}

test('the price: both of L1’s base fees by their scalars, rounded down at the end', () => {
  const price = dataPriceOf({ baseFee: 7n, blobBaseFee: 3n }, { l1BaseFeeScalar: 5_000n, l1BlobBaseFeeScalar: 1_000_001n })
  expect(price.weiPerMillionBytes).toBe(16n * 7n * 5_000n + 3n * 1_000_001n)
  expect(dataFeeWei(310, price)).toBe((310n * 3_560_003n) / 1_000_000n)
  expect(dataFeeWei(310, NO_DATA_PRICE)).toBe(0n)
  expect(rowByteGas({ baseFeePerGas: 1n, dataPrice: price })).toBe(4n)
  expect([rowByteGas({ baseFeePerGas: 0n, dataPrice: price }), rowByteGas({ baseFeePerGas: 1n, dataPrice: NO_DATA_PRICE })]).toEqual([
    0n,
    0n,
  ])
})

test('a native transaction pays gas and its row, within maxFee to the wei; bytes go to the treasury', async () => {
  const chain = await pricedChain()
  const native = { type: transfer, fields: { kind: 0, to: CAROL, amount: 5n } }
  const base = chain.genesis.params.initialBaseFeeWei
  const bytes = dataFeeWei(nativeRowBytes(native), priceIn(chain))
  const gas = nativeGas(native) * base
  expect(bytes).toBeGreaterThan(0n)
  const [exact, less] = [await transferOf(chain, 0n, gas + bytes), await transferOf(chain, 0n, gas + bytes - 1n)]
  const before = getAccount(chain.executor.state.ledger, addressOf(alice)).balance
  const built = await chain.next([less, exact])
  expect(built.rejected).toMatchObject([{ hash: less.hash, rejection: { code: 'feeTooLow', feeWei: gas + bytes } }])
  expect(getAccount(chain.executor.state.ledger, addressOf(alice)).balance).toBe(before - gas - bytes - 5n)
  expect(getAccount(chain.executor.state.ledger, TREASURY).balance).toBe(gas / 2n + bytes)
  expect(built.receipts[0]).toMatchObject({ dataFee: { bytes: nativeRowBytes(native), feeWei: bytes, price: priceIn(chain) } })
})

test('an Ethereum transaction pays for its own bytes on top, from the EVM balance to the fee vault; one wei less and it is in no block', async () => {
  const chain = await pricedChain()
  const probe = await valueTransfer(chain, 0, 1n)
  const fee = dataFeeWei(probe.raw.length, priceIn(chain))
  const all = evmBalance(chain, addressOf(bob)) - 21_000n * MAX_GWEI
  const long = await valueTransfer(chain, 0, all)
  const most = all - dataFeeWei(long.raw.length, priceIn(chain))
  const tooMuch = await valueTransfer(chain, 0, most + 1n)
  expect((await chain.next([tooMuch])).rejected).toMatchObject([{ rejection: { code: 'insufficientFunds' } }])
  const built = await chain.next([await valueTransfer(chain, 0, most)])
  const [receipt] = built.receipts
  const gasWei = 21_000n * built.block.header.baseFeePerGas
  expect(built.block.header.gasUsed).toBe(21_000n)
  expect(fee).toBeGreaterThan(0n)
  expect(evmBalance(chain, addressOf(bob))).toBe(21_000n * MAX_GWEI - gasWei)
  expect(evmBalance(chain, FEE_VAULT)).toBe(gasWei + (receipt?.dataFee?.feeWei ?? 0n))
  const { ledger } = chain.executor.state
  const before = testGenesis().accounts.reduce((sum, { evmWei }) => sum + evmWei, 0n)
  expect(getSupply(ledger).evmSupply).toBe(before)
})

test('a new origin’s prices count from its block on, and the rows alone lead to the same root', async () => {
  const chain = await pricedChain()
  const root = chain.executor.state.roots().ledgerRoot
  const origin = dearer(chain)
  const cheap = await chain.next([await transferOf(chain, 0n, OPEN_WEI)])
  const dear = await chain.next([await transferOf(chain, 1n, OPEN_WEI)], { origin })
  const [first, second] = [cheap.receipts[0]?.dataFee, dear.receipts[1]?.dataFee]
  expect(second?.price).toEqual(dataPriceOf(origin.info, chain.genesis.params))
  expect(second?.feeWei).toBeGreaterThan(2n * (first?.feeWei ?? 0n))
  const blocks = [cheap, dear].map(({ block, transactions, operations }) => ({ header: block.header, transactions, operations }))
  const start = { root, source: chain.store.reader, params: chain.genesis.params, judgeEvidence, lookups: lookupsOf(blocks) }
  const executed = executeLane(start, groupsOf(laneRows(blocks)))
  expect(executed.ok && executed.roots.at(-1)).toBe(dear.roots.ledgerRoot)
})

test('with both scalars 0 there is no such fee', async () => {
  const chain = await pricedChain({ l1BaseFeeScalar: 0n, l1BlobBaseFeeScalar: 0n })
  const built = await chain.next([await transferOf(chain, 0n, OPEN_WEI), await valueTransfer(chain, 0, 1n)])
  expect(built.receipts.map(({ dataFee }) => dataFee)).toEqual([undefined, undefined])
  expect(evmBalance(chain, FEE_VAULT)).toBe(21_000n * built.block.header.baseFeePerGas)
})

test('receipts are kept with what bytes cost', async () => {
  const chain = await pricedChain()
  const priced = await chain.next([await transferOf(chain, 0n, OPEN_WEI), await valueTransfer(chain, 0, 1n)], { origin: dearer(chain) })
  const free = await (await pricedChain({ l1BaseFeeScalar: 0n, l1BlobBaseFeeScalar: 0n })).next([])
  for (const receipts of [priced.receipts, free.receipts, [] as Receipt[]]) {
    expect(decodeStoredReceipts(encodeStoredReceipts(receipts))).toEqual(receipts)
  }
})

test('the oracle names no less than what is charged, and little more', async () => {
  const chain = await pricedChain()
  const tx = await valueTransfer(chain, 0, 12_345n)
  const unsigned = `0x${'01'.repeat(tx.raw.length - 67)}` as const
  const ask = async (data: Hex) => {
    chain.executor.state.checkpoint()
    const env = { ...chain.head(), number: 1n }
    const call = { from: CAROL, to: GAS_PRICE_ORACLE, valueWei: 0n, data: hexToBytes(data), gas: 1_000_000n, gasPriceWei: 0n }
    const { output, exception } = await chain.executor.vm.simulate(call, env)
    chain.executor.state.revert()
    expect(exception).toBeUndefined()
    return BigInt(output)
  }
  const named = await ask(encodeFunctionData({ abi: gasPriceOracleAbi, functionName: 'getL1Fee', args: [unsigned] }))
  const charged = dataFeeWei(tx.raw.length, priceIn(chain))
  expect(named).toBeGreaterThanOrEqual(charged)
  expect(named).toBeLessThanOrEqual(dataFeeWei(tx.raw.length + 2, priceIn(chain)))
  expect(await ask(encodeFunctionData({ abi: gasPriceOracleAbi, functionName: 'l1BaseFee' }))).toBe(7n)
  expect(await ask(encodeFunctionData({ abi: gasPriceOracleAbi, functionName: 'blobBaseFeeScalar' }))).toBe(SCALARS.l1BlobBaseFeeScalar)
})

test('a call of a door pays for its row by gas', async () => {
  const args = ['rivers', `0x${'01'.repeat(32)}`, 1, CAROL, 0, 0n] as const
  const data = encodeFunctionData({ abi: datanetsDoorAbi, functionName: 'create', args })
  const gasUsedOn = async (chain: TestChain) => {
    const shared = { type: 'eip1559', chainId: chain.genesis.params.chainId, maxFeePerGas: MAX_GWEI, maxPriorityFeePerGas: 0n } as const
    const built = await chain.next([
      chain.decode(await alice.signTransaction({ ...shared, gas: 2_000_000n, to: DOOR.datanets, data, nonce: 0 })),
    ])
    expect(built.receipts[0]?.succeeded).toBe(true)
    return { gas: built.receipts[0]?.gasUsed ?? 0n, operation: built.operations[0]?.operation, header: built.block.header }
  }
  const priced = await pricedChain({ l1BaseFeeScalar: 10n ** 12n, l1BlobBaseFeeScalar: 10n ** 12n })
  const free = await gasUsedOn(await pricedChain({ l1BaseFeeScalar: 0n, l1BlobBaseFeeScalar: 0n }))
  const paid = await gasUsedOn(priced)
  const perByte = rowByteGas({ baseFeePerGas: paid.header.baseFeePerGas, dataPrice: priceIn(priced) })
  expect(perByte).toBeGreaterThan(0n)
  expect(paid.gas - free.gas).toBe(perByte * BigInt(paid.operation ? operationRowBytes(paid.operation) : 0))
})
