/** The pool against a naive one that sorts everything each time: what it offers, counts, refuses and drops. Spec: docs/spec/transactions.md#the-pool */
import fc from 'fast-check'
import type { Hex } from 'viem'
import { expect, test } from 'vitest'
import { type BlockFees, NO_DATA_PRICE } from '../../execution/fee.ts'
import { createMempool, type Lane, type Mempool, nonceOf, type PoolAccounts, type PoolTx } from '../../execution/mempool.ts'

const LIMITS = { txsMax: 9, bytesMax: 1_000, txsPerSenderMax: 3, nonceGapMax: 6, replacementPercent: 10 }
const SENDERS = ['aa', 'bb', 'cc', 'dd'].map((byte): Hex => `0x${byte.repeat(20)}`)
const GAS = 10n

type Ask = { lane: Lane; who: number; nonce: number; bid: number; tip: number; bytes: number; shape: number }
type Step =
  | ({ readonly kind: 'add' } & Ask)
  | { readonly kind: 'block'; readonly mined: number; readonly balances: readonly number[]; readonly baseFee: number }
  | { readonly kind: 'drop'; readonly nth: number }

let made = 0
function toTx({ lane, who, nonce, bid, tip, bytes, shape }: Ask): PoolTx {
  const hash: Hex = `0x${(++made).toString(16).padStart(64, '0')}`
  const shared = { hash, sender: SENDERS[who % SENDERS.length], raw: new Uint8Array(bytes), type: 0 }
  if (lane === 'native')
    return { ...shared, kind: 'native', gas: GAS, native: { nonce: BigInt(nonce), maxFeeWei: BigInt(bid) * GAS } } as unknown as PoolTx
  const price = shape === 0 ? { gasPrice: BigInt(bid) } : { maxFeePerGas: BigInt(bid), maxPriorityFeePerGas: BigInt(Math.min(tip, bid)) }
  return { ...shared, kind: 'ethereum', tx: { nonce: BigInt(nonce), gasLimit: GAS, value: 1n, ...price } } as unknown as PoolTx
}

const add = fc.record({
  kind: fc.constant('add' as const),
  lane: fc.constantFrom<Lane>('native', 'ethereum'),
  who: fc.nat(3),
  nonce: fc.nat(7),
  bid: fc.integer({ min: 3, max: 30 }),
  tip: fc.nat(12),
  bytes: fc.constantFrom(50, 100, 100, 200),
  shape: fc.nat(2),
})
const block = fc.record({
  kind: fc.constant('block' as const),
  mined: fc.nat(4),
  balances: fc.array(fc.constantFrom(100, 250, 500, 10_000, 10_000), { minLength: 8, maxLength: 8 }),
  baseFee: fc.integer({ min: 1, max: 12 }),
})
const drop = fc.record({ kind: fc.constant('drop' as const), nth: fc.nat(8) })
const steps = fc.array<Step>(fc.oneof({ weight: 9, arbitrary: add }, { weight: 2, arbitrary: block }, { weight: 1, arbitrary: drop }), {
  minLength: 5,
  maxLength: 60,
  size: 'max', // else walks stay so short that the pool is hardly ever full
})

const asked = (who: number, nonce: number, bid: number): Step => ({
  kind: 'add',
  lane: 'native',
  who,
  nonce,
  bid,
  tip: 0,
  bytes: 100,
  shape: 0,
})
/** A walk that comes by every refusal and an eviction, whatever the random ones meet: those that need a full row or pool are rare. */
const EVERY_CODE: readonly Step[] = [
  ...[0, 1, 2].flatMap((who) => [0, 1, 2].map((nonce) => asked(who, nonce, 10))), // the pool is full
  asked(0, 0, 10), // replacementUnderpriced
  asked(0, 3, 30), // senderFull
  asked(3, 7, 30), // nonceTooHigh
  asked(3, 0, 4), // feeTooLow
  asked(3, 0, 10), // poolFull
  asked(3, 0, 20), // evicts another
  { kind: 'block', mined: 1, balances: [100, 100, 100, 100, 100, 100, 100, 100], baseFee: 5 },
  asked(3, 0, 10), // nonceTooLow
  asked(3, 1, 11), // insufficientFunds
]

const bidOf = (tx: PoolTx): bigint => {
  if (tx.kind === 'native') return tx.native.maxFeeWei / tx.gas
  return 'maxFeePerGas' in tx.tx ? tx.tx.maxFeePerGas : tx.tx.gasPrice
}
const costOf = (tx: PoolTx): bigint => (tx.kind === 'native' ? tx.native.maxFeeWei : tx.tx.gasLimit * bidOf(tx) + tx.tx.value)
function tipOf(tx: PoolTx, baseFee: bigint): bigint {
  const above = bidOf(tx) - baseFee
  const most = tx.kind === 'ethereum' && 'maxPriorityFeePerGas' in tx.tx ? tx.tx.maxPriorityFeePerGas : above
  return most < above ? most : above
}

const rowOf = (txs: readonly PoolTx[], { kind, sender }: Pick<PoolTx, 'kind' | 'sender'>) =>
  txs.filter((tx) => tx.kind === kind && tx.sender === sender)

/** Everything executable in price order, found by trying every sender for every place. */
function offerNaively(txs: readonly PoolTx[], accounts: PoolAccounts, { baseFeePerGas }: BlockFees): PoolTx[] {
  const next = new Map<string, bigint>()
  const out: PoolTx[] = []
  for (;;) {
    const ready = txs.filter((tx) => nonceOf(tx) === (next.get(tx.kind + tx.sender) ?? accounts(tx.kind, tx.sender).nonce))
    const payable = ready.filter((tx) => bidOf(tx) >= baseFeePerGas)
    const best = payable.reduce<PoolTx | undefined>((a, b) => (a && tipOf(a, baseFeePerGas) >= tipOf(b, baseFeePerGas) ? a : b), undefined)
    if (!best) return out
    out.push(best)
    next.set(best.kind + best.sender, nonceOf(best) + 1n)
  }
}

function expectBounds(pool: Mempool, accounts: PoolAccounts): void {
  const txs = pool.all()
  const bytes = txs.reduce((sum, tx) => sum + tx.raw.length, 0)
  expect(txs.length).toBe(pool.size())
  expect(txs.length).toBeLessThanOrEqual(LIMITS.txsMax)
  expect(bytes).toBeLessThanOrEqual(LIMITS.bytesMax)
  let pending = 0
  for (const lane of ['native', 'ethereum'] as const) {
    for (const sender of SENDERS) {
      const row = rowOf(txs, { kind: lane, sender })
      const { nonce } = accounts(lane, sender)
      const nonces = new Set(row.map(nonceOf))
      expect(nonces.size).toBe(row.length)
      expect(row.length).toBeLessThanOrEqual(LIMITS.txsPerSenderMax)
      for (const tx of row) expect(nonceOf(tx)).toBeGreaterThanOrEqual(nonce)
      let end = nonce
      while (nonces.has(end)) end++
      pending += Number(end - nonce)
      expect(pool.pendingNonce(lane, sender, nonce)).toBe(end)
    }
  }
  expect(pool.status()).toEqual({ pending, queued: txs.length - pending, bytes })
}

test('after every step the pool is within its bounds, offers what a naive one offers, and makes room from the ends of rows', () => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(steps, (walk) => {
      const pool = createMempool(LIMITS)
      const state = new Map<string, { nonce: bigint; balanceWei: bigint }>()
      const accounts: PoolAccounts = (lane, sender) => state.get(lane + sender) ?? { nonce: 0n, balanceWei: 10_000n }
      let fees: BlockFees = { baseFeePerGas: 5n, dataPrice: NO_DATA_PRICE }
      for (const one of walk) {
        const before = pool.all()
        if (one.kind === 'add') {
          const tx = toTx(one)
          const result = pool.add(tx, accounts, fees)
          seen.add(result.ok ? 'ok' : result.code)
          const row = rowOf(before, tx)
          const replaced = row.find((other) => nonceOf(other) === nonceOf(tx))
          const account = accounts(tx.kind, tx.sender)
          const want = row.reduce((sum, other) => sum + costOf(other), costOf(tx)) - (replaced ? costOf(replaced) : 0n)
          const expected = [
            [nonceOf(tx) < account.nonce, 'nonceTooLow'],
            [nonceOf(tx) > account.nonce + BigInt(LIMITS.nonceGapMax), 'nonceTooHigh'],
            [want > account.balanceWei, 'insufficientFunds'],
            [bidOf(tx) < fees.baseFeePerGas, 'feeTooLow'],
            [replaced && bidOf(tx) * 10n < bidOf(replaced) * 11n, 'replacementUnderpriced'],
            [!replaced && row.length >= LIMITS.txsPerSenderMax, 'senderFull'],
          ].find(([broken]) => broken)
          if (expected) expect(result).toMatchObject({ ok: false, code: expected[1] })
          else if (!result.ok) expect(['poolFull', 'replacementUnderpriced']).toContain(result.code)
          const after = new Set(pool.all())
          const gone = before.filter((other) => !after.has(other) && other !== replaced)
          if (gone.length > 0) seen.add('evicted')
          // Only a newcomer that finds no room in the end may have cost others theirs, and nobody was left behind a gap that was not there.
          for (const victim of gone) for (const other of rowOf(pool.all(), victim)) expect(nonceOf(other)).toBeLessThan(nonceOf(victim))
          if (result.ok) expect(pool.get(tx.hash)).toBe(tx)
        } else if (one.kind === 'block') {
          const mined = [...pool.offer(fees)].slice(0, one.mined)
          for (const tx of mined) state.set(tx.kind + tx.sender, { ...accounts(tx.kind, tx.sender), nonce: nonceOf(tx) + 1n })
          const touched = SENDERS.flatMap((sender, i) =>
            (['native', 'ethereum'] as const).map((lane, j) => {
              state.set(lane + sender, { ...accounts(lane, sender), balanceWei: BigInt(one.balances[2 * i + j] ?? 0) })
              return { lane, sender }
            }),
          )
          pool.settle(touched, accounts)
          fees = { ...fees, baseFeePerGas: BigInt(one.baseFee) }
          for (const { lane, sender } of touched) {
            const row = rowOf(pool.all(), { kind: lane, sender })
            expect(row.reduce((sum, tx) => sum + costOf(tx), 0n)).toBeLessThanOrEqual(accounts(lane, sender).balanceWei)
            // What went was the end of the row.
            const was = rowOf(before, { kind: lane, sender }).filter((tx) => nonceOf(tx) >= accounts(lane, sender).nonce)
            for (const gone of was.filter((tx) => !row.includes(tx)))
              for (const left of row) expect(nonceOf(left)).toBeLessThan(nonceOf(gone))
          }
        } else {
          const named = before[one.nth]
          pool.drop(named ? [named.hash] : [])
          expect(pool.all()).toEqual(before.filter((tx) => tx !== named))
        }
        expectBounds(pool, accounts)
        expect([...pool.offer(fees)]).toEqual(offerNaively(pool.all(), accounts, fees))
      }
    }),
    { numRuns: 60, examples: [[[...EVERY_CODE]]] },
  )
  expect([...seen].sort()).toEqual(
    [
      'evicted',
      'feeTooLow',
      'insufficientFunds',
      'nonceTooHigh',
      'nonceTooLow',
      'ok',
      'poolFull',
      'replacementUnderpriced',
      'senderFull',
    ].sort(),
  )
})

test('an offer that is being read sees what happens meanwhile: what was replaced comes in its new form, what went does not come', () => {
  const pool = createMempool({ ...LIMITS, txsMax: 100, bytesMax: 100_000 })
  const rich: PoolAccounts = () => ({ nonce: 0n, balanceWei: 10n ** 9n })
  const fees = { baseFeePerGas: 5n, dataPrice: NO_DATA_PRICE }
  const at = (who: number, nonce: number, bid: number) => toTx({ lane: 'native', who, nonce, bid, tip: 0, bytes: 50, shape: 0 })
  const [a, b, c, d] = [at(0, 0, 30), at(1, 0, 20), at(2, 0, 10), at(0, 1, 15)]
  for (const tx of [a, b, c]) pool.add(tx, rich, fees)
  const offer = pool.offer(fees)[Symbol.iterator]()
  expect(offer.next().value).toBe(a)
  const better = at(1, 0, 29)
  pool.add(better, rich, fees)
  pool.add(d, rich, fees)
  pool.drop([c.hash])
  expect([offer.next().value, offer.next().value, offer.next().done]).toEqual([better, d, true])
})
