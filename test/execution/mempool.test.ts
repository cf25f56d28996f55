import type { Hex } from 'viem'
import { expect, test } from 'vitest'
import { NO_DATA_PRICE } from '../../execution/fee.ts'
import { createMempool, type PoolAccounts, type PoolTx } from '../../execution/mempool.ts'

const LIMITS = { txsMax: 4, bytesMax: 1_000, txsPerSenderMax: 3, nonceGapMax: 5, replacementPercent: 10 }
const FEES = { baseFeePerGas: 10n, dataPrice: NO_DATA_PRICE }
const rich: PoolAccounts = () => ({ nonce: 0n, balanceWei: 10n ** 20n })

let made = 0

/** A native transaction as the pool sees it: who, which nonce, what it bids for a unit of gas, how long it is. */
function native({
  from = 'aa',
  nonce = 0n,
  bid = 20n,
  bytes = 100,
}: {
  from?: string
  nonce?: bigint
  bid?: bigint
  bytes?: number
}): PoolTx {
  const hash: Hex = `0x${(++made).toString(16).padStart(64, '0')}`
  return {
    kind: 'native',
    sender: `0x${from.repeat(20)}`,
    hash,
    raw: new Uint8Array(bytes),
    type: 0x50,
    gas: 1_000n,
    native: { nonce, maxFeeWei: bid * 1_000n },
  } as unknown as PoolTx
}

const codeOf = (result: { ok: boolean; code?: string }) => (result.ok ? 'ok' : result.code)

test('each refusal once, in order of precedence', () => {
  const pool = createMempool(LIMITS)
  const poor: PoolAccounts = () => ({ nonce: 3n, balanceWei: 57_000n })
  const known = native({ nonce: 3n, bid: 19n })
  expect(codeOf(pool.add(known, poor, FEES))).toBe('ok')
  expect(codeOf(pool.add(known, poor, FEES))).toBe('alreadyKnown')
  expect(codeOf(pool.add(native({ nonce: 2n, bid: 1n }), poor, FEES))).toBe('nonceTooLow')
  expect(codeOf(pool.add(native({ nonce: 9n, bid: 1n }), poor, FEES))).toBe('nonceTooHigh')
  expect(codeOf(pool.add(native({ nonce: 4n, bid: 39n }), poor, FEES))).toBe('insufficientFunds')
  expect(codeOf(pool.add(native({ nonce: 4n, bid: 9n }), poor, FEES))).toBe('feeTooLow')
  expect(codeOf(pool.add(native({ nonce: 3n, bid: 19n }), poor, FEES))).toBe('replacementUnderpriced')
  for (const nonce of [4n, 5n]) expect(codeOf(pool.add(native({ nonce, bid: 19n }), poor, FEES))).toBe('ok')
  expect(codeOf(pool.add(native({ nonce: 6n, bid: 19n }), () => ({ nonce: 3n, balanceWei: 10n ** 9n }), FEES))).toBe('senderFull')
})

test('a replacement must pay a tenth more, and takes the place', () => {
  const pool = createMempool(LIMITS)
  const [first, second] = [native({ bid: 20n }), native({ bid: 22n })]
  pool.add(first, rich, FEES)
  expect(codeOf(pool.add(native({ bid: 21n }), rich, FEES))).toBe('replacementUnderpriced')
  expect(codeOf(pool.add(second, rich, FEES))).toBe('ok')
  expect(pool.get(first.hash)).toBeUndefined()
  expect([...pool.offer(FEES)]).toEqual([second])
})

test('best price first, each sender in nonce order, nothing behind a gap, nothing below the base fee', () => {
  const pool = createMempool({ ...LIMITS, txsMax: 100 })
  const a0 = native({ from: 'aa', nonce: 0n, bid: 12n })
  const a1 = native({ from: 'aa', nonce: 1n, bid: 90n })
  const b0 = native({ from: 'bb', nonce: 0n, bid: 50n })
  const c1 = native({ from: 'cc', nonce: 1n, bid: 99n })
  const d0 = native({ from: 'dd', nonce: 0n, bid: 11n })
  for (const tx of [a1, c1, b0, d0, a0]) pool.add(tx, rich, FEES)
  expect([...pool.offer(FEES)]).toEqual([b0, a0, a1, d0])
  expect([...pool.offer({ ...FEES, baseFeePerGas: 12n })]).toEqual([b0, a0, a1])
  expect(pool.status()).toEqual({ pending: 4, queued: 1, bytes: 500 })
  expect(pool.pendingNonce('native', a0.sender, 0n)).toBe(2n)
  expect(pool.pendingNonce('native', c1.sender, 0n)).toBe(0n)
})

test('a full pool drops the cheapest last transaction of a row, never one that others wait behind', () => {
  const pool = createMempool(LIMITS)
  const a0 = native({ from: 'aa', nonce: 0n, bid: 11n })
  const a1 = native({ from: 'aa', nonce: 1n, bid: 40n })
  const b0 = native({ from: 'bb', nonce: 0n, bid: 30n })
  const b1 = native({ from: 'bb', nonce: 1n, bid: 20n })
  for (const tx of [a0, a1, b0, b1]) pool.add(tx, rich, FEES)
  expect(codeOf(pool.add(native({ from: 'cc', bid: 20n }), rich, FEES))).toBe('poolFull')
  const c0 = native({ from: 'cc', bid: 25n })
  expect(codeOf(pool.add(c0, rich, FEES))).toBe('ok')
  expect(pool.get(b1.hash)).toBeUndefined()
  expect(pool.all()).toEqual([a0, a1, b0, c0])
  expect(codeOf(pool.add(native({ from: 'dd', bid: 29n, bytes: 900 }), rich, FEES))).toBe('poolFull')
})

test('what the chain has moved past goes, and so does what is named', () => {
  const pool = createMempool({ ...LIMITS, txsMax: 100 })
  const [zero, one, two] = [native({ nonce: 0n }), native({ nonce: 1n }), native({ nonce: 2n })]
  const other = native({ from: 'bb' })
  for (const tx of [zero, one, two, other]) pool.add(tx, rich, FEES)
  const touched = [zero, other].map(({ sender }) => ({ lane: 'native', sender }) as const)
  pool.settle(touched, (_, sender) => ({ nonce: sender === zero.sender ? 2n : 0n, balanceWei: 10n ** 18n }))
  pool.drop([other.hash])
  expect(pool.all()).toEqual([two])
  expect(pool.size()).toBe(1)
})

test('transactions of one sender on the two lanes do not stand in each other’s way', () => {
  const pool = createMempool(LIMITS)
  const nativeTx = native({ nonce: 0n })
  const evmTx = {
    kind: 'ethereum',
    sender: nativeTx.sender,
    hash: `0x${'ee'.repeat(32)}`,
    raw: new Uint8Array(10),
    type: 2,
    tx: { nonce: 0n, gasLimit: 21_000n, value: 0n, maxFeePerGas: 30n, maxPriorityFeePerGas: 2n },
  } as unknown as PoolTx
  expect(codeOf(pool.add(nativeTx, rich, FEES))).toBe('ok')
  expect(codeOf(pool.add(evmTx, rich, FEES))).toBe('ok')
  expect(pool.size()).toBe(2)
})
