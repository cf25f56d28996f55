/**
 * Transactions that wait: one pool for both lanes, bounded in count, bytes and per sender. Policy only, no I/O and no clock: whoever holds it
 * says what the chain's nonces and balances are. A sender's transactions wait in the order of their nonces, EVM and ledger nonces apart.
 */
import type { Hex } from 'viem'
import { invalid, type Rejection } from './native/nativeType.ts'
import type { EthereumTx, NativeTx } from './tx.ts'

/** A transaction that a pool takes: deposits come from L1 alone. */
export type PoolTx = EthereumTx | NativeTx

export type MempoolLimits = {
  readonly txsMax: number
  readonly bytesMax: number
  readonly txsPerSenderMax: number
  /** How far above the account's next nonce a transaction may be. */
  readonly nonceGapMax: number
  /** Percent by which a replacement must raise what it pays. */
  readonly replacementPercent: number
}

/** What the chain knows of the account that would pay, in the transaction's lane. */
export type PoolAccount = { readonly nonce: bigint; readonly balanceWei: bigint }

/** Reads an account of the chain's latest state. */
export type PoolAccounts = (lane: PoolTx['kind'], sender: Hex) => PoolAccount

export type Mempool = {
  /** Takes a transaction in, or says why not. */
  add(tx: PoolTx, accounts: PoolAccounts, baseFeeWei: bigint): { readonly ok: true } | Rejection
  get(hash: Hex): PoolTx | undefined
  /** Executable transactions, best price first, each sender's in nonce order. Safe against changes while it is read. */
  offer(accounts: PoolAccounts, baseFeeWei: bigint): Iterable<PoolTx>
  /** Drops what the chain has moved past, and these. */
  prune(accounts: PoolAccounts, drop: readonly Hex[]): void
  /** Next nonce of the sender with its unbroken row of waiting transactions counted. */
  pendingNonce(lane: PoolTx['kind'], sender: Hex, nonce: bigint): bigint
  status(accounts: PoolAccounts): { readonly pending: number; readonly queued: number; readonly bytes: number }
  /** How many wait, executable or not. */
  size(): number
  all(): readonly PoolTx[]
}

type Entry = { readonly tx: PoolTx; readonly nonce: bigint; readonly order: number }
type Queue = Map<bigint, Entry>

/** An empty pool. */
export function createMempool(limits: MempoolLimits): Mempool {
  const byHash = new Map<Hex, Entry>()
  const queues = new Map<string, Queue>()
  let bytes = 0
  let order = 0

  function drop(entry: Entry): void {
    const key = queueKey(entry.tx.kind, entry.tx.sender)
    const queue = queues.get(key)
    if (byHash.delete(entry.tx.hash)) bytes -= entry.tx.raw.length
    queue?.delete(entry.nonce)
    if (queue?.size === 0) queues.delete(key)
  }

  /** Makes room by dropping the cheapest transaction that is the last of its sender's row; false if the newcomer is no better. */
  function makeRoom(price: bigint, baseFeeWei: bigint, sender: Queue | undefined): boolean {
    let worst: Entry | undefined
    for (const queue of queues.values()) {
      if (queue === sender) continue
      let last: Entry | undefined
      for (const entry of queue.values()) if (!last || entry.nonce > last.nonce) last = entry
      if (last && (!worst || tipWei(last.tx, baseFeeWei) < tipWei(worst.tx, baseFeeWei))) worst = last
    }
    if (!worst || tipWei(worst.tx, baseFeeWei) >= price) return false
    drop(worst)
    return true
  }

  return {
    add(tx, accounts, baseFeeWei) {
      if (byHash.has(tx.hash)) return invalid('alreadyKnown', { hash: tx.hash })
      const nonce = nonceOf(tx)
      const account = accounts(tx.kind, tx.sender)
      if (nonce < account.nonce) return invalid('nonceTooLow', { got: nonce, want: account.nonce })
      if (nonce > account.nonce + BigInt(limits.nonceGapMax)) return invalid('nonceTooHigh', { got: nonce, want: account.nonce })
      const cost = costMaxWei(tx)
      if (cost > account.balanceWei) return invalid('insufficientFunds', { balance: account.balanceWei, want: cost })
      if (bidWei(tx) < baseFeeWei) return invalid('feeTooLow', { bidWei: bidWei(tx), baseFeeWei })
      const key = queueKey(tx.kind, tx.sender)
      const queue = queues.get(key)
      const replaced = queue?.get(nonce)
      if (replaced && bidWei(tx) * 100n < bidWei(replaced.tx) * BigInt(100 + limits.replacementPercent)) {
        return invalid('replacementUnderpriced', { bidWei: bidWei(tx), replacedBidWei: bidWei(replaced.tx) })
      }
      if (!replaced && (queue?.size ?? 0) >= limits.txsPerSenderMax) return invalid('senderFull', { max: limits.txsPerSenderMax })
      if (replaced) drop(replaced)
      while (byHash.size >= limits.txsMax || bytes + tx.raw.length > limits.bytesMax) {
        if (!makeRoom(tipWei(tx, baseFeeWei), baseFeeWei, queue)) return invalid('poolFull', { txs: byHash.size, bytes })
      }
      const entry = { tx, nonce, order: order++ }
      byHash.set(tx.hash, entry)
      bytes += tx.raw.length
      const held = queues.get(key) ?? new Map()
      queues.set(key, held)
      held.set(nonce, entry)
      return { ok: true }
    },

    get: (hash) => byHash.get(hash)?.tx,

    *offer(accounts, baseFeeWei) {
      const heads = createHeap()
      const rows = new Map<string, Queue>()
      for (const [key, queue] of queues) {
        const first = queue.values().next().value
        if (!first) continue
        const { nonce } = accounts(first.tx.kind, first.tx.sender)
        const head = queue.get(nonce)
        if (!head) continue
        rows.set(key, new Map(queue))
        heads.push({ entry: head, tip: tipWei(head.tx, baseFeeWei), key })
      }
      for (let head = heads.pop(); head; head = heads.pop()) {
        if (bidWei(head.entry.tx) < baseFeeWei) continue // its followers cannot run before it
        yield head.entry.tx
        const next = rows.get(head.key)?.get(head.entry.nonce + 1n)
        if (next) heads.push({ entry: next, tip: tipWei(next.tx, baseFeeWei), key: head.key })
      }
    },

    prune(accounts, dropHashes) {
      for (const hash of dropHashes) {
        const entry = byHash.get(hash)
        if (entry) drop(entry)
      }
      for (const queue of [...queues.values()]) {
        const first = queue.values().next().value
        if (!first) continue
        const { nonce } = accounts(first.tx.kind, first.tx.sender)
        for (const entry of [...queue.values()]) if (entry.nonce < nonce) drop(entry)
      }
    },

    pendingNonce(lane, sender, nonce) {
      const queue = queues.get(queueKey(lane, sender))
      let next = nonce
      while (queue?.has(next)) next++
      return next
    },

    status(accounts) {
      let pending = 0
      for (const queue of queues.values()) {
        const first = queue.values().next().value
        if (!first) continue
        for (let { nonce } = accounts(first.tx.kind, first.tx.sender); queue.has(nonce); nonce++) pending++
      }
      return { pending, queued: byHash.size - pending, bytes }
    },

    size: () => byHash.size,

    all: () => [...byHash.values()].sort((a, b) => a.order - b.order).map(({ tx }) => tx),
  }
}

/** The nonce that orders a transaction in its lane. */
export function nonceOf(tx: PoolTx): bigint {
  return tx.kind === 'native' ? tx.native.nonce : tx.tx.nonce
}

/** The most that a transaction is willing to pay for a unit of gas, in wei. */
export function bidWei(tx: PoolTx): bigint {
  if (tx.kind === 'native') return tx.native.maxFeeWei / tx.gas
  return 'maxFeePerGas' in tx.tx ? tx.tx.maxFeePerGas : tx.tx.gasPrice
}

/** What it offers above the base fee, in wei per gas. A native transaction pays no tip: its bid only places it. */
function tipWei(tx: PoolTx, baseFeeWei: bigint): bigint {
  const above = bidWei(tx) - baseFeeWei
  if (tx.kind === 'ethereum' && 'maxPriorityFeePerGas' in tx.tx && tx.tx.maxPriorityFeePerGas < above) return tx.tx.maxPriorityFeePerGas
  return above
}

/** What the sender must hold, in wei. A native transaction's bound counts in full: a bid that nobody could pay would place it for nothing. */
function costMaxWei(tx: PoolTx): bigint {
  return tx.kind === 'native' ? tx.native.maxFeeWei : tx.tx.gasLimit * bidWei(tx) + tx.tx.value
}

function queueKey(lane: PoolTx['kind'], sender: Hex): string {
  return `${lane}:${sender}`
}

type Head = { readonly entry: Entry; readonly tip: bigint; readonly key: string }

/** A binary heap: highest tip first, of equals the earliest. */
function createHeap(): { push(head: Head): void; pop(): Head | undefined } {
  const heap: Head[] = []
  const before = (a: Head | undefined, b: Head | undefined) =>
    a !== undefined && (b === undefined || (a.tip !== b.tip ? a.tip > b.tip : a.entry.order < b.entry.order))
  function swap(i: number, j: number): void {
    const a = heap[i]
    const b = heap[j]
    if (a && b) {
      heap[i] = b
      heap[j] = a
    }
  }
  return {
    push(head) {
      heap.push(head)
      for (let i = heap.length - 1; i > 0 && before(heap[i], heap[(i - 1) >> 1]); i = (i - 1) >> 1) swap(i, (i - 1) >> 1)
    },
    pop() {
      const top = heap[0]
      const last = heap.pop()
      if (heap.length > 0 && last) {
        heap[0] = last
        for (let i = 0; ; ) {
          const left = 2 * i + 1
          const best = before(heap[left + 1], heap[left]) ? left + 1 : left
          if (!before(heap[best], heap[i])) break
          swap(i, best)
          i = best
        }
      }
      return top
    },
  }
}
