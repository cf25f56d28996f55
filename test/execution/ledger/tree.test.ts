/** The ledger's tree and its proofs against their definition, written again here in the plainest way. Spec: docs/spec/ledger.md#tree */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { expect, test } from 'vitest'
import { createLedgerProof, type LedgerProof, verifyLedgerProof } from '../../../execution/ledger/proof.ts'
import {
  createLedgerTree,
  EMPTY,
  isPageKey,
  pastKey,
  rootHex,
  type TreeChange,
  type TreeEntry,
  treeKey,
} from '../../../execution/ledger/tree.ts'

type Records = ReadonlyMap<Hex, Uint8Array>

function sha(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(createHash('sha256').update(Buffer.concat(parts)).digest())
}

function mark(hash: Uint8Array, bit: 0 | 1): Uint8Array {
  return Uint8Array.from(hash, (byte, i) => (i === 0 ? (byte & 0x7f) | (bit << 7) : byte))
}

/** The root of a set of records, by the definition: no tree is kept, every call starts from the set. */
function rootByDefinition(records: Records): Hex {
  const rootOf = (set: [bits: string, key: Hex, record: Uint8Array][], depth: number): Uint8Array => {
    const [first] = set
    if (!first) return new Uint8Array(32)
    if (set.length === 1) return mark(sha(hexToBytes(first[1]), sha(first[2])), 1)
    const [left, right] = ['0', '1'].map((bit) => set.filter(([bits]) => bits[depth] === bit))
    return mark(sha(rootOf(left ?? [], depth + 1), rootOf(right ?? [], depth + 1)), 0)
  }
  const set = [...records].map(([key, record]): [string, Hex, Uint8Array] => [BigInt(key).toString(2).padStart(256, '0'), key, record])
  return bytesToHex(rootOf(set, 0))
}

type Entries = Map<Hex, Uint8Array>

/** A tree whose entries are in `entries` as they were stored. Few pages stay in memory, so that most are read again, from there or from the shelf. */
function createStoredTree(entries: Entries = new Map(), root: Uint8Array = EMPTY, shelfBytes = 0) {
  const tree = createLedgerTree(root, (key) => entries.get(bytesToHex(key)), { residentPagesMax: 4, shelfBytes })
  const commit = (changes: readonly TreeChange[]) => {
    tree.commit(changes, ({ key, bytes }) => entries.set(bytesToHex(key), bytes))
    return rootHex(tree)
  }
  return { tree, entries, commit }
}

// Keys of four kinds, so that many of them collide and others share long prefixes: 4 bits, 28 bits, 68 bits, and anything.
const keyBytes = fc.oneof(
  fc.integer({ min: 0, max: 15 }).map((n) => Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? n : 0))),
  fc.integer({ min: 0, max: 15 }).map((n) => Uint8Array.from({ length: 32 }, (_, i) => (i === 3 ? n : 0))),
  fc.integer({ min: 0, max: 15 }).map((n) => Uint8Array.from({ length: 32 }, (_, i) => (i === 8 ? n : 0xff))),
  fc.uint8Array({ minLength: 32, maxLength: 32 }),
)
const record = fc.uint8Array({ maxLength: 80 })
const change = fc.record({ key: keyBytes, record: fc.option(record, { nil: undefined }) })
const blocks = fc.array(fc.array(change, { maxLength: 25 }), { maxLength: 5 })

function applyTo(records: Map<Hex, Uint8Array>, changes: readonly TreeChange[]): void {
  for (const { key, record } of changes) {
    if (record) records.set(bytesToHex(key), record)
    else records.delete(bytesToHex(key))
  }
}

test('after each block the root is the definition of the set of records, whatever stays in memory', () => {
  fc.assert(
    fc.property(blocks, fc.constantFrom(0, 600, 4_096), (list, shelfBytes) => {
      const kept = createStoredTree(new Map(), EMPTY, shelfBytes)
      const records = new Map<Hex, Uint8Array>()
      let reopened = createStoredTree(new Map())
      for (const changes of list) {
        applyTo(records, changes)
        const root = kept.commit(changes)
        expect(root).toBe(rootByDefinition(records))
        expect(reopened.commit(changes)).toBe(root)
        reopened = createStoredTree(new Map(kept.entries), hexToBytes(root))
        for (const { key } of changes) {
          const want = records.get(bytesToHex(key))
          expect(kept.tree.valueHash(key)).toEqual(want && sha(want))
          expect(reopened.tree.valueHash(key)).toEqual(want && sha(want))
        }
      }
    }),
    { numRuns: 200 },
  )
})

test('every committed root stays readable, with its records and its proofs, and those that are stale are what no later root reads', () => {
  fc.assert(
    fc.property(blocks, keyBytes, (list, stranger) => {
      const { tree, entries } = createStoredTree()
      const live: Entries = new Map()
      const records = new Map<Hex, Uint8Array>()
      const past = list.map((changes) => {
        const before = new Map(records)
        applyTo(records, changes)
        tree.commit(
          changes.map((one) => ({ ...one, before: () => before.get(bytesToHex(one.key)) })),
          ({ key, bytes }) => {
            entries.set(bytesToHex(key), bytes)
            live.set(bytesToHex(key), bytes)
          },
          (key) => live.delete(bytesToHex(key)),
        )
        return { root: rootHex(tree), records: new Map(records) }
      })
      for (const [then, { root, records: thatTime }] of past.entries()) {
        const kept = then === past.length - 1 ? live : entries
        const old = createStoredTree(kept, hexToBytes(root)).tree
        for (const [key, bytes] of thatTime) {
          expect(old.valueHash(hexToBytes(key))).toEqual(sha(bytes))
          const isLatest = equal(records.get(key), bytes)
          expect(isLatest || equal(entries.get(bytesToHex(pastKey(sha(bytes)))), bytes)).toBe(true)
        }
        for (const key of [...records.keys(), bytesToHex(stranger)]) {
          const proof = createLedgerProof(old, hexToBytes(key), thatTime.get(key))
          expect(verifyLedgerProof(root, proof)).toBe(true)
        }
      }
    }),
    { numRuns: 100 },
  )
})

function equal(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && bytesToHex(a) === bytesToHex(b)
}

test('changes that change nothing store nothing', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 25 }), fc.array(keyBytes), (changes, strangers) => {
      const { tree, commit } = createStoredTree()
      const records = new Map<Hex, Uint8Array>()
      applyTo(records, changes)
      const root = commit(changes)
      const same = [...records].map(([key, bytes]) => ({ key: hexToBytes(key), record: bytes }))
      const absent = strangers.filter((key) => !records.has(bytesToHex(key))).map((key) => ({ key, record: undefined }))
      const stored: TreeEntry[] = []
      tree.commit([...same, ...absent], (entry) => stored.push(entry))
      expect([rootHex(tree), stored]).toEqual([root, []])
    }),
  )
})

test('memory holds no more pages than it may, once they are stored', () => {
  const entries: Entries = new Map()
  const tree = createLedgerTree(EMPTY, (key) => entries.get(bytesToHex(key)), { residentPagesMax: 16 })
  const commit = (from: number, count: number) =>
    tree.commit(
      Array.from({ length: count }, (_, i) => ({ key: treeKey(1, word(from + i)), record: word(i) })),
      ({ key, bytes }) => entries.set(bytesToHex(key), bytes),
    )
  commit(0, 5_000)
  expect(tree.residentPages()).toBeGreaterThan(500)
  for (let i = 0; i < 20; i++) commit(i * 7, 3)
  expect(tree.residentPages()).toBeLessThan(64)
  for (let i = 0; i < 5_000; i += 97) expect(tree.valueHash(treeKey(1, word(i)))).toBeDefined()
  expect(tree.residentPages()).toBeLessThan(64)
})

test('what the shelf has is not read again, whatever has changed since; what has left it is', () => {
  const entries: Entries = new Map()
  let reads = 0
  const readEntry = (key: Uint8Array) => {
    if (key[0] === 0) reads++
    return entries.get(bytesToHex(key))
  }
  const readsWith = (shelfBytes: number) => {
    entries.clear()
    reads = 0
    const tree = createLedgerTree(EMPTY, readEntry, { residentPagesMax: 16, shelfBytes })
    const all = (value: number) => Array.from({ length: 2_000 }, (_, i) => ({ key: treeKey(1, word(i)), record: word(i * value) }))
    const roots = [1, 2, 3].map((value) => {
      for (let i = 0; i < 2_000; i += 200)
        tree.commit(all(value).slice(i, i + 200), ({ key, bytes }) => entries.set(bytesToHex(key), bytes))
      return rootHex(tree)
    })
    for (let i = 0; i < 2_000; i++) expect(tree.valueHash(treeKey(1, word(i)))).toEqual(sha(word(i * 3)))
    return { reads, roots }
  }
  const [none, small, large] = [readsWith(0), readsWith(1 << 16), readsWith(1 << 22)]
  expect([small.roots, large.roots]).toEqual([none.roots, none.roots])
  expect(large.reads).toBe(0)
  expect(small.reads).toBeGreaterThan(0)
  expect(none.reads).toBeGreaterThan(small.reads)
})

function word(n: number): Uint8Array {
  return Uint8Array.of(n >> 24, n >> 16, n >> 8, n)
}

test('the order of changes, and how they are spread over blocks, does not matter to the root', () => {
  const distinct = fc.uniqueArray(change, { maxLength: 40, selector: ({ key }) => bytesToHex(key) })
  const withOrder = distinct.chain((changes) =>
    fc.tuple(
      fc.constant(changes),
      fc.shuffledSubarray(changes, { minLength: changes.length }),
      fc.integer({ min: 0, max: changes.length }),
    ),
  )
  fc.assert(
    fc.property(withOrder, ([changes, shuffled, cut]) => {
      const atOnce = createStoredTree().commit(changes)
      expect(createStoredTree().commit(shuffled)).toBe(atOnce)
      const inTwo = createStoredTree()
      inTwo.commit(shuffled.slice(0, cut))
      expect(inTwo.commit(shuffled.slice(cut))).toBe(atOnce)
    }),
  )
})

test('deleting what was added leads back to the earlier root, and to zeros when nothing is left', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), fc.array(change, { maxLength: 20 }), (first, second) => {
      const { tree, commit } = createStoredTree()
      const records = new Map<Hex, Uint8Array>()
      applyTo(records, first)
      const before = commit(first)
      commit(second)
      const undo = second.map(({ key }) => ({ key, record: records.get(bytesToHex(key)) }))
      expect(commit(undo)).toBe(before)
      commit([...records.keys()].map((key) => ({ key: hexToBytes(key), record: undefined })))
      expect(tree.root()).toEqual(new Uint8Array(32))
    }),
  )
})

test('of two changes of one key in a block the later wins', () => {
  const key = treeKey(1, Uint8Array.of(1))
  const [a, b] = [Uint8Array.of(1), Uint8Array.of(2)]
  const want = createStoredTree().commit([{ key, record: b }])
  const twice = [
    { key, record: a },
    { key, record: undefined },
    { key, record: b },
  ]
  expect(createStoredTree().commit(twice)).toBe(want)
})

test('the roots of the smallest sets are these bytes', () => {
  const key = (n: number) => treeKey(1, Uint8Array.of(n))
  const roots = [0, 1, 2, 3].map((count) =>
    createStoredTree().commit(Array.from({ length: count }, (_, n) => ({ key: key(n), record: Uint8Array.of(n) }))),
  )
  expect(roots).toMatchInlineSnapshot(`
    [
      "0x0000000000000000000000000000000000000000000000000000000000000000",
      "0xa6b8571a581932fc7cc6f82d3f8fe448e0471222f1018da9c453db3d65ffafcb",
      "0x04359707c494724a629ebb375f0b9c65e2235a86bfca7a24ffec1bdc2f7fa63d",
      "0x2eb80bfeef096ab77d99ffa6d42cb0b42e498faad85b746d0242f444aa748aa0",
    ]
  `)
})

test('reset forgets what was not stored; a missing page or root stops us', () => {
  const { tree, entries, commit } = createStoredTree()
  const records = Array.from({ length: 8 }, (_, n) => ({ key: treeKey(2, Uint8Array.of(n)), record: Uint8Array.of(n) }))
  const root = commit(records)
  tree.commit([{ key: treeKey(2, Uint8Array.of(9)), record: Uint8Array.of(9) }], () => {})
  tree.reset(hexToBytes(root))
  expect(rootHex(tree)).toBe(root)
  expect(tree.valueHash(treeKey(2, Uint8Array.of(9)))).toBeUndefined()
  for (const key of entries.keys()) if (isPageKey(hexToBytes(key))) entries.delete(key)
  tree.reset(hexToBytes(root))
  expect(() => tree.valueHash(treeKey(2, Uint8Array.of(1)))).toThrow(/is missing/)
  expect(() => tree.reset(sha(Uint8Array.of(1)))).toThrow(/is missing/)
})

const proofCase = fc.tuple(fc.array(change, { maxLength: 30 }), keyBytes)

test('every key has a proof of its record, or of its absence', () => {
  fc.assert(
    fc.property(proofCase, ([changes, stranger]) => {
      const { tree, commit } = createStoredTree()
      const root = commit(changes)
      const records = new Map<Hex, Uint8Array>()
      applyTo(records, changes)
      for (const key of [...changes.map((one) => one.key), stranger]) {
        const found = records.get(bytesToHex(key))
        const proof = createLedgerProof(tree, key, found)
        expect(proof.key).toBe(bytesToHex(key))
        expect(proof.record).toBe(found && bytesToHex(found))
        expect(verifyLedgerProof(root, proof)).toBe(true)
      }
    }),
  )
})

/** Everything that one step of an attacker makes of a proof, but for another key. */
function mutationsOf(proof: LedgerProof): LedgerProof[] {
  const { key, record, other, siblings } = proof
  const stranger = `0x${'a5'.repeat(32)}` as const
  return [
    ...(record === undefined
      ? []
      : [undefined, '0x' as const, `${record}00` as const, ...flips(record)]
          .filter((r) => r !== record)
          .map((r) => ({ ...proof, record: r }))),
    ...(record === undefined
      ? [
          { ...proof, record: '0x' as const },
          { ...proof, record: '0x' as const, other: undefined },
        ]
      : []),
    { ...proof, other: other ? undefined : { key: stranger, valueHash: stranger } },
    ...(other ? flips(other.key).map((flipped) => ({ ...proof, other: { ...other, key: flipped } })) : []),
    ...(other ? flips(other.valueHash).map((flipped) => ({ ...proof, other: { ...other, valueHash: flipped } })) : []),
    ...siblings.flatMap((sibling, i) => flips(sibling).map((flipped) => ({ ...proof, siblings: siblings.with(i, flipped) }))),
    ...siblings.map((_, i) => ({ ...proof, siblings: siblings.toSpliced(i, 1) })),
    { ...proof, siblings: [...siblings, stranger] },
    { ...proof, siblings: [stranger, ...siblings] },
    { ...proof, siblings: Array.from({ length: 256 }, () => stranger) },
    ...[key.slice(2), `${key}00`, key.slice(0, -2), `${key.slice(0, -1)}g`].map((bad) => ({ ...proof, key: bad as Hex })),
    ...siblings.map((sibling, i) => ({ ...proof, siblings: siblings.with(i, `${sibling.slice(0, -1)}g` as Hex) })),
  ]
}

/** The hex with one bit of its first, last and a middle byte turned over. */
function flips(hex: Hex): Hex[] {
  const bytes = hexToBytes(hex)
  const places = [...new Set([0, bytes.length >> 1, bytes.length - 1])].filter((place) => place >= 0 && place < bytes.length)
  return places.flatMap((place) =>
    [0x01, 0x80].map((bit) => bytesToHex(Uint8Array.from(bytes, (byte, i) => (i === place ? byte ^ bit : byte)))),
  )
}

test('a proof changed anywhere but in its key fails; one for another key says nothing untrue', () => {
  fc.assert(
    fc.property(proofCase, ([changes, stranger]) => {
      const { tree, commit } = createStoredTree()
      const root = commit(changes)
      const records = new Map<Hex, Uint8Array>()
      applyTo(records, changes)
      for (const key of [...changes.slice(0, 3).map((one) => one.key), stranger]) {
        const proof = createLedgerProof(tree, key, records.get(bytesToHex(key)))
        for (const mutation of mutationsOf(proof)) expect(verifyLedgerProof(root, mutation), JSON.stringify(mutation)).toBe(false)
        for (const flipped of flips(proof.key)) {
          if (!verifyLedgerProof(root, { ...proof, key: flipped })) continue
          expect(proof.record).toBeUndefined()
          expect(tree.valueHash(hexToBytes(flipped))).toBeUndefined()
        }
        expect(verifyLedgerProof(bytesToHex(sha(key)), proof)).toBe(false)
      }
    }),
    { numRuns: 50 },
  )
})

test('a record that is there cannot be shown as absent by writing its key in capitals', () => {
  const { tree, commit } = createStoredTree()
  const key = treeKey(1, Uint8Array.of(1))
  const root = commit([{ key, record: Uint8Array.of(1) }])
  const { siblings } = createLedgerProof(tree, key, Uint8Array.of(1))
  const lower = bytesToHex(key)
  const upper = `0x${lower.slice(2).toUpperCase()}` as const
  const valueHash = bytesToHex(sha(Uint8Array.of(1)))
  expect(verifyLedgerProof(root, { key: upper, record: undefined, other: { key: lower, valueHash }, siblings })).toBe(false)
  expect(verifyLedgerProof(root, { key: lower, record: undefined, other: { key: upper, valueHash }, siblings })).toBe(false)
})

test('two keys with 247 bits in common are as good as any', () => {
  const key = (n: number) => Uint8Array.from({ length: 32 }, (_, i) => (i === 30 ? n : 0))
  const records = [0, 1].map((n) => ({ key: key(n), record: Uint8Array.of(n) }))
  const { tree, commit } = createStoredTree()
  const root = commit(records)
  expect(root).toBe(rootByDefinition(new Map(records.map((one) => [bytesToHex(one.key), one.record]))))
  expect(createLedgerProof(tree, key(1), Uint8Array.of(1)).siblings).toHaveLength(248)
  for (const n of [0, 1, 2]) expect(verifyLedgerProof(root, createLedgerProof(tree, key(n), records[n]?.record))).toBe(true)
})
