import { type Hex, hexToBytes, parseEther } from 'viem'
import { expect, test } from 'vitest'
import { applyBlock } from '../../execution/applyBlock.ts'
import type { Block, Header } from '../../execution/block.ts'
import { hashHeader, nextBaseFeeWei } from '../../execution/block.ts'
import { commonOf } from '../../execution/ethereumRules.ts'
import { doorCallData } from '../../execution/native/native.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { decodeTx } from '../../execution/tx.ts'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { DOOR } from '../../genesis/params.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { addressOf, createTestChain, signNative, testAccounts } from '../fakes/testChain.ts'

const [alice, bob] = testAccounts as [(typeof testAccounts)[number], (typeof testAccounts)[number]]
const fees = { maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 10n ** 9n, type: 'eip1559' } as const

/** A good block on genesis with one transaction of each lane, and a state that has not seen it. */
async function scene() {
  const chain = await createTestChain()
  const { chainId } = chain.genesis.params
  const parent = chain.head()
  const evm = await alice.signTransaction({ chainId, nonce: 0, to: bob.address, value: 5n, gas: 21_000n, ...fees })
  const native = await signNative(alice, { type: transfer, fields: { kind: 0, to: addressOf(bob), amount: 7n }, nonce: 0n, chainId })
  const { block } = await chain.next([chain.decode(evm), chain.decode(native)])
  const { executor } = await createTestChain()
  return { block, apply: (changed: Block) => applyBlock(executor, parent, changed), executor, parent, roots: executor.state.roots() }
}

const word = (byte: string): Hex => `0x${byte.repeat(32)}`

/** A wrong value for each field of a header, and what the block is then called. */
const WRONG: readonly (readonly [keyof Header, Header[keyof Header], string])[] = [
  ['parentHash', word('11'), 'headerMismatch'],
  ['sha3Uncles', word('11'), 'headerMismatch'],
  ['stateRoot', word('11'), 'headerMismatch'],
  ['transactionsRoot', word('11'), 'headerMismatch'],
  ['receiptsRoot', word('11'), 'headerMismatch'],
  ['logsBloom', `0x${'11'.repeat(256)}`, 'headerMismatch'],
  ['difficulty', 1n, 'headerMismatch'],
  ['number', 2n, 'headerMismatch'],
  ['gasLimit', 1n, 'headerMismatch'],
  ['gasUsed', 1n, 'headerMismatch'],
  ['timestamp', 1n, 'timestampNotIncreasing'],
  ['extraData', '0x010400', 'badExtraData'],
  ['extraData', '0x02', 'badExtraData'],
  ['mixHash', word('11'), 'l1InfoMissing'],
  ['nonce', '0x0000000000000001', 'headerMismatch'],
  ['baseFeePerGas', 1n, 'headerMismatch'],
  ['withdrawalsRoot', word('11'), 'headerMismatch'],
  ['blobGasUsed', 1n, 'headerMismatch'],
  ['excessBlobGas', 1n, 'headerMismatch'],
  ['parentBeaconBlockRoot', word('11'), 'l1InfoMissing'],
  ['requestsHash', word('11'), 'headerMismatch'],
]

test.each(WRONG)('a block with another %s is refused', async (field, value, code) => {
  const { block, apply } = await scene()
  const verdict = await apply({ ...block, header: { ...block.header, [field]: value } })
  expect(verdict).toMatchObject(code === 'headerMismatch' ? { ok: false, code, field } : { ok: false, code })
})

test("the header names the roots after the block, of genesis too: the state's, and the ledger's as its withdrawals root", async () => {
  const chain = await createTestChain()
  const genesis = chain.executor.state.roots()
  expect(chain.head()).toMatchObject({ stateRoot: genesis.evmRoot, withdrawalsRoot: genesis.ledgerRoot })
  const { chainId } = chain.genesis.params
  const native = await signNative(alice, { type: transfer, fields: { kind: 0, to: addressOf(bob), amount: 7n }, nonce: 0n, chainId })
  const { block, roots } = await chain.next([chain.decode(native)])
  expect(roots.ledgerRoot).not.toBe(genesis.ledgerRoot)
  expect(block.header).toMatchObject({ stateRoot: roots.evmRoot, withdrawalsRoot: roots.ledgerRoot })
})

test('the fee recipient is part of what is executed: another one leads to another state', async () => {
  const { block, apply } = await scene()
  expect(await apply({ ...block, header: { ...block.header, miner: `0x${'11'.repeat(20)}` } })).toMatchObject({
    code: 'headerMismatch',
    field: 'stateRoot',
  })
})

test('a refused block leaves nothing behind once the state is reset, and the good one still applies', async () => {
  const { block, apply, executor, roots } = await scene()
  expect(await apply({ ...block, header: { ...block.header, gasUsed: 1n } })).toMatchObject({ ok: false })
  executor.state.reset(roots)
  expect(await apply(block)).toMatchObject({ ok: true })
})

test('a block is refused for one transaction that can be in none, naming it', async () => {
  const { block, apply, executor, roots } = await scene()
  const { chainId } = DEVNET_PARAMS
  const [first] = block.transactions
  if (!first) throw new Error('the scene has transactions')
  const sign = (fields: object) => alice.signTransaction({ chainId, nonce: 1, to: bob.address, gas: 21_000n, ...fees, ...fields })
  const cases: readonly (readonly [Uint8Array, string])[] = [
    [Uint8Array.of(0x03, 0xc0), 'blobTransaction'],
    [Uint8Array.of(0x60, 0xc0), 'unknownType'],
    [new Uint8Array(), 'emptyTransaction'],
    [new Uint8Array(131_073), 'oversizedTransaction'],
    [hexToBytes(await sign({ nonce: 0 })), 'nonceTooLow'],
    [hexToBytes(await sign({ nonce: 5 })), 'nonceTooHigh'],
    [hexToBytes(await sign({ value: parseEther('9999999') })), 'insufficientFunds'],
    [hexToBytes(await sign({ maxFeePerGas: 1n, maxPriorityFeePerGas: 1n })), 'feeTooLow'],
    [hexToBytes(await sign({ gas: 20_999n })), 'gasTooLow'],
    [hexToBytes(await sign({ gas: 16_777_217n })), 'malformedTransaction'], // EIP-7825
    [hexToBytes(await sign({ chainId: 1 })), 'malformedTransaction'],
  ]
  for (const [raw, code] of cases) {
    executor.state.reset(roots)
    expect(await apply({ ...block, transactions: [first, raw] })).toMatchObject({ ok: false, code, index: 1, invalid: true })
  }
})

test('bytes that are no transaction are refused with a code, whatever is cut off', async () => {
  const { block } = await scene()
  const common = commonOf(DEVNET_PARAMS.chainId)
  for (const raw of block.transactions) {
    expect(decodeTx(raw, common).ok).toBe(true)
    for (let cut = 0; cut < raw.length; cut++) expect(decodeTx(raw.slice(0, cut), common)).toMatchObject({ ok: false, invalid: true })
  }
})

test('a block takes so many bytes of L1 and no more: rows of native transactions, bytes of others, rows of what calls did through the doors', async () => {
  // Room for the transfer's row (4 elements of 31 bytes), the EVM transaction, and half of the row that its door call leaves.
  const door = {
    to: DOOR.ledger,
    value: 9n,
    gas: 200_000n,
    data: doorCallData({ type: transfer, fields: { kind: 0, to: addressOf(bob), amount: 9n } }),
  }
  const sign = async (chainId: number, nonce: number) => hexToBytes(await alice.signTransaction({ chainId, nonce, ...door, ...fees }))
  const { chainId } = DEVNET_PARAMS
  const evm = await sign(chainId, 0)
  const native = await signNative(alice, { type: transfer, fields: { kind: 0, to: addressOf(bob), amount: 7n }, nonce: 0n, chainId })
  const full = 107 + 5 + evm.length + 44 + 5
  const build = async (blockBytesMax: number) => {
    const chain = await createTestChain({ params: { blockBytesMax }, precompiles: PRECOMPILES })
    return { chain, built: await chain.next([chain.decode(native), chain.decode(evm)]) }
  }
  const fits = await build(full)
  expect(fits.built.transactions).toHaveLength(2)
  expect(fits.built.operations).toHaveLength(1)
  const short = await build(full - 1)
  expect(short.built.transactions.map(({ kind }) => kind)).toEqual(['native'])
  expect(short.built.rejected).toEqual([])
  expect(short.chain.executor.state.account(addressOf(alice)).nonce).toBe(0n)
  // Nobody else takes the block that was too large either.
  const other = await createTestChain({ params: { blockBytesMax: full - 1 }, precompiles: PRECOMPILES })
  const head = other.head()
  const forged = { header: { ...fits.built.block.header, parentHash: hashHeader(head) }, transactions: fits.built.block.transactions }
  expect(await applyBlock(other.executor, head, forged)).toMatchObject({ ok: false, code: 'blockBytesExceeded', index: 1 })
  const tiny = await createTestChain({ params: { blockBytesMax: 100 }, precompiles: PRECOMPILES })
  const parentHash = hashHeader(tiny.head())
  expect(await applyBlock(tiny.executor, tiny.head(), { ...forged, header: { ...forged.header, parentHash } })).toMatchObject({
    code: 'blockTooLarge',
  })
})

test('who builds goes no further through a pool than a block that is all but full is worth, and fills what smaller ones still fit into', async () => {
  const { chainId } = DEVNET_PARAMS
  const sign = (nonce: bigint) => signNative(alice, { type: transfer, fields: { kind: 0, to: addressOf(bob), amount: 7n }, nonce, chainId })
  const raws = await Promise.all(Array.from({ length: 3 }, (_, nonce) => sign(BigInt(nonce))))
  const rowBytes = 107 + 5
  // Behind the first two is room for half a row; none of the others in the pool fits into that.
  const build = async (blockBytesMax: number, offered: number) => {
    const chain = await createTestChain({ params: { blockBytesMax } })
    const txs = raws.map((raw) => chain.decode(raw))
    let read = 0
    function* offer() {
      while (read < offered) yield* txs.slice(Math.min(read++, 2), Math.min(read, 3))
    }
    const built = await chain.next(offer())
    return { applied: built.transactions.length, rejected: built.rejected.length, read }
  }
  const crowded = await build(2 * rowBytes + 1, 1_000)
  expect(crowded).toEqual({ applied: 2, rejected: 0, read: 66 })
  // As long as there is more room than that, a smaller one may come.
  const roomy = await build(rowBytes + rowBytes / 2, 1_000)
  expect(roomy).toEqual({ applied: 1, rejected: 0, read: 1_000 })
})

test('the base fee moves by at most an eighth and not below the floor', () => {
  const parent = { number: 5n, gasLimit: 60_000_000n, baseFeePerGas: 8_000_000n } as Header
  const next = (gasUsed: bigint, baseFeePerGas = 8_000_000n) => nextBaseFeeWei({ ...parent, gasUsed, baseFeePerGas }, DEVNET_PARAMS)
  expect(next(30_000_000n)).toBe(8_000_000n)
  expect(next(60_000_000n)).toBe(9_000_000n)
  expect(next(0n)).toBe(7_000_000n)
  expect(next(30_000_001n, 1_000_000n)).toBe(1_000_001n)
  expect(next(0n, 1_000_000n)).toBe(1_000_000n)
  expect(nextBaseFeeWei({ ...parent, number: 0n, gasUsed: 0n }, DEVNET_PARAMS)).toBe(DEVNET_PARAMS.initialBaseFeeWei)
})
