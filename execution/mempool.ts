/**
 * Transactions that wait: one pool for both lanes, bounded in count, bytes and per sender. Policy only, no I/O and no clock: whoever holds it
 * says what the chain's nonces and balances are, and which accounts a block touched.
 *
 * A sender's transactions wait in a row, in the order of their nonces, EVM and ledger nonces apart. The head of a row is the one with the account's
 * next nonce; heads stand in a heap by what they pay, and so do the last ones of all rows, from which room is made: taking the last one strands
 * nobody. What stands behind a gap goes first. A row never costs more than its account holds: what goes beyond it is dropped from the end.
 * Adding, dropping and offering cost the logarithm of the rows; a block costs what it touched.
 */
import type { Hex } from 'viem'
import { type BlockFees, dataFeeWei } from './fee.ts'
import { nativeRowBytes } from './native/native.ts'
import { invalid, type Rejection } from './native/nativeType.ts'
import type { EthereumTx, NativeTx } from './tx.ts'

/** A transaction that a pool takes: deposits come from L1 alone. */
export type PoolTx = EthereumTx | NativeTx

/** Whose nonce orders a transaction: the EVM's or the ledger's. */
export type Lane = PoolTx['kind']

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
export type PoolAccounts = (lane: Lane, sender: Hex) => PoolAccount

export type Mempool = {
  /** Takes a transaction in, or says why not. */
  add(tx: PoolTx, accounts: PoolAccounts, fees: BlockFees): { readonly ok: true } | Rejection
  get(hash: Hex): PoolTx | undefined
  /** Executable transactions that can pay these fees, best price first, each sender's in nonce order. Safe against changes while it is read. */
  offer(fees: BlockFees): Iterable<PoolTx>
  /** Drops these, whatever waits behind them. */
  drop(hashes: readonly Hex[]): void
  /** Takes in what a block did: drops what its accounts have moved past, and what they can no longer pay. */
  settle(touched: Iterable<{ readonly lane: Lane; readonly sender: Hex }>, accounts: PoolAccounts): void
  /** Next nonce of the sender with its unbroken row of waiting transactions counted. `nonce` is the account's. */
  pendingNonce(lane: Lane, sender: Hex, nonce: bigint): bigint
  /** `pending` can run now, `queued` waits behind a gap. */
  status(): { readonly pending: number; readonly queued: number; readonly bytes: number }
  /** How many wait, executable or not. */
  size(): number
  /** All of them, in the order in which they came. */
  all(): readonly PoolTx[]
  /** Those of one sender, or all, and whether each can run now; by lane, sender and nonce. */
  content(sender?: Hex): readonly { readonly tx: PoolTx; readonly runs: boolean }[]
}

type Entry = {
  readonly tx: PoolTx
  readonly nonce: bigint
  readonly order: number
  readonly costWei: bigint
  /** Most that it pays for a unit of gas, and the tip that bounds it, if one does. */
  readonly bidWei: bigint
  readonly tipMaxWei: bigint | undefined
  /** Of the row on L1 that carries a native transaction, when it was asked for: as it is for every block that the transaction is offered to. */
  rowBytes: number | undefined
  readonly row: Row
}

type Row = {
  readonly lane: Lane
  readonly sender: Hex
  readonly entries: Map<bigint, Entry>
  /** The account's next nonce, and the first nonce from there on that nobody waits with. */
  next: bigint
  end: bigint
  costWei: bigint
  head: Place | undefined
  last: Place | undefined
}

/** An empty pool. */
export function createMempool(limits: MempoolLimits): Mempool {
  const byHash = new Map<Hex, Entry>()
  const rows: Readonly<Record<Lane, Map<Hex, Row>>> = { ethereum: new Map(), native: new Map() }
  const heads = createOrder('best')
  const lasts = createOrder('worst')
  const stranded = createHeap(isWorse)
  let bytes = 0
  let order = 0
  let executable = 0
  let baseFeeWei = 0n

  /** Tips follow the base fee, and with them the order of those that bound their tip. */
  function follow(next: bigint): void {
    if (next === baseFeeWei) return
    baseFeeWei = next
    heads.follow(next)
    lasts.follow(next)
  }

  function remove(entry: Entry): void {
    const { row, nonce, tx, costWei } = entry
    if (!byHash.delete(tx.hash)) return
    bytes -= tx.raw.length
    row.costWei -= costWei
    row.entries.delete(nonce)
    if (nonce >= row.next && nonce < row.end) endAt(row, nonce)
  }

  function endAt(row: Row, end: bigint): void {
    executable += Number(end - row.end)
    row.end = end
  }

  /** Moves a row to its account's nonce. What lies below is gone. */
  function moveTo(row: Row, next: bigint): void {
    const { next: before, end } = row
    if (next === before) return
    executable -= Number(end - before)
    row.next = next
    row.end = next
    const gone = next <= end ? [] : [...row.entries.keys()].filter((nonce) => nonce < next)
    for (let nonce = before; nonce < next && nonce < end; nonce++) gone.push(nonce)
    for (const nonce of gone) {
      const entry = row.entries.get(nonce)
      if (entry) remove(entry)
    }
    if (next < end) endAt(row, end)
    else extend(row)
  }

  function extend(row: Row): void {
    let { end } = row
    while (row.entries.has(end)) end++ // ends: a row is finite
    endAt(row, end)
  }

  /** Puts the row's head and last entry where they belong in the heaps, after entries went or this one came. */
  function arrange(row: Row, added?: Entry): void {
    const head = row.entries.get(row.next)
    if (row.head?.entry !== head) {
      if (row.head) row.head.heap.remove(row.head)
      row.head = head && heads.add(head, baseFeeWei)
    }
    const last = lastOf(row, added)
    const isStranded = last !== undefined && last.nonce >= row.end
    if (row.last?.entry !== last || (row.last !== undefined && (row.last.heap === stranded) !== isStranded)) {
      if (row.last) row.last.heap.remove(row.last)
      row.last = last && (isStranded ? stranded.add(last, last.bidWei) : lasts.add(last, baseFeeWei))
    }
    if (row.entries.size === 0) rows[row.lane].delete(row.sender)
  }

  function lastOf(row: Row, added?: Entry): Entry | undefined {
    const { size } = row.entries
    if (size === 0) return undefined
    const known = row.last && row.entries.get(row.last.entry.nonce)
    if (known) return added && added.nonce > known.nonce ? added : known
    if (BigInt(size) === row.end - row.next) return row.entries.get(row.end - 1n) // no gap
    let last: Entry | undefined
    for (const entry of row.entries.values()) if (!last || entry.nonce > last.nonce) last = entry
    return last
  }

  /** Drops from the end of the row until the account can pay for the rest. */
  function afford(row: Row, balanceWei: bigint): void {
    while (row.costWei > balanceWei) {
      const last = lastOf(row)
      if (!last) break
      remove(last)
    }
  }

  /** The last entry of a row that is worth the least, of all rows but one. */
  function worstBut(row: Row | undefined): { readonly entry: Entry; readonly rank: Rank } | undefined {
    const [behindGap] = stranded.top(row)
    if (behindGap) return { entry: behindGap.entry, rank: { runs: false, wei: behindGap.key } }
    const place = lasts.top(row)
    return place && { entry: place.entry, rank: { runs: true, wei: tipWei(place.entry, baseFeeWei) } }
  }

  /** Makes room for a newcomer by dropping what is worth less; false if nothing is. */
  function makeRoom(newcomer: Entry, runs: boolean): boolean {
    const worst = worstBut(newcomer.row)
    if (!worst) return false
    const own = runs ? tipWei(newcomer, baseFeeWei) : newcomer.bidWei
    const isBetter = runs === worst.rank.runs ? own > worst.rank.wei : runs
    if (!isBetter) return false
    remove(worst.entry)
    arrange(worst.entry.row)
    return true
  }

  function refuse(entry: Entry, account: PoolAccount, fees: BlockFees): Rejection | undefined {
    const { row, nonce, bidWei, costWei } = entry
    const replaced = row.entries.get(nonce)
    const want = row.costWei + costWei - (replaced?.costWei ?? 0n)
    if (want > account.balanceWei) return invalid('insufficientFunds', { balance: account.balanceWei, want })
    if (!paysFor(entry, fees)) return invalid('feeTooLow', { bidWei, baseFeeWei: fees.baseFeePerGas })
    if (replaced && !raises(entry, replaced, limits.replacementPercent)) {
      return invalid('replacementUnderpriced', { bidWei, replacedBidWei: replaced.bidWei })
    }
    if (!replaced && row.entries.size >= limits.txsPerSenderMax) return invalid('senderFull', { max: limits.txsPerSenderMax })
    return undefined
  }

  /** A transaction as an entry of its sender's row, which follows its account, and why it cannot be one. */
  function look(tx: PoolTx, accounts: PoolAccounts, fees: BlockFees) {
    if (byHash.has(tx.hash)) return invalid('alreadyKnown', { hash: tx.hash })
    follow(fees.baseFeePerGas)
    const nonce = nonceOf(tx)
    const account = accounts(tx.kind, tx.sender)
    if (nonce < account.nonce) return invalid('nonceTooLow', { got: nonce, want: account.nonce })
    if (nonce > account.nonce + BigInt(limits.nonceGapMax)) return invalid('nonceTooHigh', { got: nonce, want: account.nonce })
    const row = rows[tx.kind].get(tx.sender) ?? createRow(tx, account.nonce)
    moveTo(row, account.nonce)
    const entry = createEntry(tx, { order: order++, row, fees })
    return { row, entry, replaced: row.entries.get(nonce), refused: refuse(entry, account, fees) }
  }

  /** Room for the newcomer, in count and bytes. What it takes the place of counts no more. */
  function findRoom(entry: Entry, replaced: Entry | undefined): Rejection | undefined {
    const { nonce, row, tx } = entry
    const runs = nonce >= row.next && nonce <= row.end
    const freed = { txs: replaced ? 1 : 0, bytes: replaced ? replaced.tx.raw.length : 0 }
    const isFull = () => byHash.size - freed.txs >= limits.txsMax || bytes - freed.bytes + tx.raw.length > limits.bytesMax
    while (isFull()) if (!makeRoom(entry, runs)) return invalid('poolFull', { txs: byHash.size, bytes })
    return undefined
  }

  return {
    add(tx, accounts, fees) {
      const seen = look(tx, accounts, fees)
      if ('ok' in seen) return seen
      const { row, entry, replaced } = seen
      const refused = seen.refused ?? findRoom(entry, replaced)
      if (!refused) {
        rows[tx.kind].set(tx.sender, row)
        if (replaced) remove(replaced)
        byHash.set(tx.hash, entry)
        bytes += tx.raw.length
        row.entries.set(entry.nonce, entry)
        row.costWei += entry.costWei
        if (entry.nonce === row.end) extend(row)
      }
      if (row.entries.size > 0 || row.head || row.last) arrange(row, refused ? undefined : entry)
      return refused ?? { ok: true }
    },

    get: (hash) => byHash.get(hash)?.tx,

    offer(fees) {
      follow(fees.baseFeePerGas)
      return offered([heads.bounded.places.slice(), heads.unbounded.places.slice()], fees)
    },

    drop(hashes) {
      for (const hash of hashes) {
        const entry = byHash.get(hash)
        if (!entry) continue
        remove(entry)
        arrange(entry.row)
      }
    },

    settle(touched, accounts) {
      for (const { lane, sender } of touched) {
        const row = rows[lane].get(sender)
        if (!row) continue
        const { nonce, balanceWei } = accounts(lane, sender)
        moveTo(row, nonce)
        afford(row, balanceWei)
        arrange(row)
      }
    },

    pendingNonce(lane, sender, nonce) {
      const row = rows[lane].get(sender)
      if (!row || nonce > row.end || nonce < row.next) return nonce
      return row.end
    },

    status: () => ({ pending: executable, queued: byHash.size - executable, bytes }),

    size: () => byHash.size,

    all: () => [...byHash.values()].sort((a, b) => a.order - b.order).map(({ tx }) => tx),

    content(sender) {
      const wanted = Object.values(rows).flatMap((lane) => (sender === undefined ? [...lane.values()] : [lane.get(sender) ?? []].flat()))
      return wanted.flatMap((row) =>
        [...row.entries.values()]
          .sort((a, b) => (a.nonce < b.nonce ? -1 : 1))
          .map(({ tx, nonce }) => ({ tx, runs: nonce >= row.next && nonce < row.end })),
      )
    },
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

/** Whether it runs now, and what it is worth: a tip if it runs, else a bid. */
type Rank = { readonly runs: boolean; readonly wei: bigint }

function createRow(tx: PoolTx, next: bigint): Row {
  return { lane: tx.kind, sender: tx.sender, entries: new Map(), next, end: next, costWei: 0n, head: undefined, last: undefined }
}

function createEntry(tx: PoolTx, { order, row, fees }: { readonly order: number; readonly row: Row; readonly fees: BlockFees }): Entry {
  const bid = bidWei(tx)
  const tipMaxWei = tx.kind === 'ethereum' && 'maxPriorityFeePerGas' in tx.tx ? tx.tx.maxPriorityFeePerGas : undefined
  // A bid that is all tip is ordered like a price without a bound.
  return {
    tx,
    nonce: nonceOf(tx),
    order,
    row,
    costWei: costMaxWei(tx, fees),
    bidWei: bid,
    tipMaxWei: tipMaxWei === bid ? undefined : tipMaxWei,
    rowBytes: undefined,
  }
}

/** What the sender must hold, in wei. A native transaction's bound counts in full: a bid that nobody could pay would place it for nothing. */
function costMaxWei(tx: PoolTx, { dataPrice }: BlockFees): bigint {
  if (tx.kind === 'native') return tx.native.maxFeeWei
  return tx.tx.gasLimit * bidWei(tx) + tx.tx.value + dataFeeWei(tx.raw.length, dataPrice)
}

/** Whether its bound allows what a block with these fees takes. */
function paysFor(entry: Entry, { baseFeePerGas, dataPrice }: BlockFees): boolean {
  const { tx, bidWei: bid } = entry
  if (tx.kind === 'ethereum' || dataPrice.weiPerMillionBytes === 0n) return bid >= baseFeePerGas
  entry.rowBytes ??= nativeRowBytes(tx.native)
  return tx.native.maxFeeWei >= tx.gas * baseFeePerGas + dataFeeWei(entry.rowBytes, dataPrice)
}

/** What it offers above the base fee, in wei per gas. A native transaction pays no tip: its bid only places it. */
function tipWei({ bidWei: bid, tipMaxWei }: Entry, baseFeeWei: bigint): bigint {
  const above = bid - baseFeeWei
  return tipMaxWei !== undefined && tipMaxWei < above ? tipMaxWei : above
}

/** Whether a replacement pays so much more than what it replaces, tip included. */
function raises(entry: Entry, replaced: Entry, percent: number): boolean {
  const isMore = (now: bigint, before: bigint) => now * 100n >= before * BigInt(100 + percent)
  return isMore(entry.bidWei, replaced.bidWei) && isMore(entry.tipMaxWei ?? entry.bidWei, replaced.tipMaxWei ?? replaced.bidWei)
}

/** An entry's place in a heap. The key is what the heap orders by. */
type Place = { readonly entry: Entry; readonly heap: Heap; key: bigint; at: number }

type Heap = {
  /** The binary heap itself: children of i at 2i + 1 and 2i + 2. */
  readonly places: Place[]
  add(entry: Entry, key: bigint): Place
  remove(place: Place): void
  /** The first place that is not of this row, if there is one. */
  top(but: Row | undefined): readonly [] | readonly [Place]
  /** Orders all of it anew. */
  rekey(key: (entry: Entry) => bigint): void
}

type Before = (a: { readonly key: bigint; readonly entry: Entry }, b: { readonly key: bigint; readonly entry: Entry }) => boolean

const isBetter: Before = (a, b) => (a.key !== b.key ? a.key > b.key : a.entry.order < b.entry.order)
const isWorse: Before = (a, b) => (a.key !== b.key ? a.key < b.key : a.entry.order > b.entry.order)

function createHeap(before: Before): Heap {
  const places: Place[] = []

  function put(place: Place, at: number): void {
    places[at] = place
    place.at = at
  }

  function rise(place: Place): void {
    let { at } = place
    for (let parent = places[(at - 1) >> 1]; at > 0 && parent && before(place, parent); parent = places[(at - 1) >> 1]) {
      put(parent, at)
      at = (at - 1) >> 1
    }
    put(place, at)
  }

  function sink(place: Place): void {
    let { at } = place
    for (;;) {
      const left = places[2 * at + 1]
      const right = places[2 * at + 2]
      const child = left && right && before(right, left) ? right : left
      if (!child || !before(child, place)) break // ends: the place goes down a finite tree
      const to = child.at
      put(child, at)
      at = to
    }
    put(place, at)
  }

  const heap: Heap = {
    places,
    add(entry, key) {
      const place = { entry, heap, key, at: places.length }
      places.push(place)
      rise(place)
      return place
    },
    remove(place) {
      const last = places.pop()
      if (!last || last === place) return
      put(last, place.at)
      rise(last)
      sink(last)
    },
    top(but) {
      const [root, left, right] = places
      if (!root) return []
      if (root.entry.row !== but) return [root]
      const next = left && right && before(right, left) ? right : left
      return next ? [next] : []
    },
    rekey(key) {
      for (const place of places) place.key = key(place.entry)
      for (let at = (places.length >> 1) - 1; at >= 0; at--) {
        const place = places[at]
        if (place) sink(place)
      }
    },
  }
  return heap
}

/**
 * Entries by their tips, in two heaps: the order of bids without a bound on the tip does not depend on the base fee, so that only those with
 * one are ordered anew when it changes.
 */
function createOrder(first: 'best' | 'worst') {
  const before = first === 'best' ? isBetter : isWorse
  const bounded = createHeap(before)
  const unbounded = createHeap(before)
  let base = 0n
  return {
    bounded,
    unbounded,
    add(entry: Entry, baseFeeWei: bigint): Place {
      return entry.tipMaxWei === undefined ? unbounded.add(entry, entry.bidWei) : bounded.add(entry, tipWei(entry, baseFeeWei))
    },
    follow(baseFeeWei: bigint): void {
      base = baseFeeWei
      bounded.rekey((entry) => tipWei(entry, baseFeeWei))
    },
    /** The first of both heaps that is not of this row. */
    top(but: Row | undefined): Place | undefined {
      const [a] = bounded.top(but)
      const [b] = unbounded.top(but)
      if (!a || !b) return a ?? b
      return before({ key: tipWei(b.entry, base), entry: b.entry }, { key: tipWei(a.entry, base), entry: a.entry }) ? b : a
    },
  }
}

/** A candidate for the next offer: a place of a copied heap, whose children come after it, or one that follows in its row. */
type Candidate = { readonly entry: Entry; readonly key: bigint; readonly from?: { readonly heap: readonly Place[]; readonly at: number } }

/** Best first, from copies of the heaps' arrays (the rows are read as they are then): what is not read is not ordered either. */
function* offered(heaps: readonly (readonly Place[])[], fees: BlockFees): Generator<PoolTx> {
  const { baseFeePerGas } = fees
  const waiting: Candidate[] = []
  const admit = (heap: readonly Place[], at: number) => {
    const place = heap[at]
    if (place) pushCandidate(waiting, { entry: place.entry, key: tipWei(place.entry, baseFeePerGas), from: { heap, at } })
  }
  for (const heap of heaps) admit(heap, 0)
  for (let best = popCandidate(waiting); best; best = popCandidate(waiting)) {
    if (best.from) {
      admit(best.from.heap, 2 * best.from.at + 1)
      admit(best.from.heap, 2 * best.from.at + 2)
    }
    const { row, nonce } = best.entry
    const now = row.entries.get(nonce) // replaced, dropped or mined since
    if (!now || !paysFor(now, fees)) continue // its followers cannot run before it
    yield now.tx
    const next = row.entries.get(nonce + 1n)
    if (next) pushCandidate(waiting, { entry: next, key: tipWei(next, baseFeePerGas) })
  }
}

function pushCandidate(heap: Candidate[], one: Candidate): void {
  let at = heap.length
  heap.push(one)
  for (let parent = heap[(at - 1) >> 1]; at > 0 && parent && isBetter(one, parent); parent = heap[(at - 1) >> 1]) {
    heap[at] = parent
    at = (at - 1) >> 1
  }
  heap[at] = one
}

function popCandidate(heap: Candidate[]): Candidate | undefined {
  const top = heap[0]
  const last = heap.pop()
  if (!last || heap.length === 0) return top
  let at = 0
  for (;;) {
    const left = heap[2 * at + 1]
    const right = heap[2 * at + 2]
    const child = left && right && isBetter(right, left) ? right : left
    if (!child || !isBetter(child, last)) break // ends: one level down each time
    heap[at] = child
    at = 2 * at + (child === left ? 1 : 2)
  }
  heap[at] = last
  return top
}
