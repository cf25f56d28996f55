/** The ledger's tree and its proofs against their definition, written again here in the plainest way. Spec: docs/spec/ledger.md#tree */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { expect, test } from 'vitest'
import { createLedgerProof, type LedgerProof, verifyLedgerProof } from '../../../execution/ledger/proof.ts'
import { createLedgerTree, EMPTY, rootHex, type TreeChange, treeKey } from '../../../execution/ledger/tree.ts'

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

/** A tree in memory whose nodes are in `nodes` as they were stored. */
function createStoredTree(nodes = new Map<Hex, Uint8Array>(), root: Uint8Array = EMPTY) {
  const tree = createLedgerTree(root, (hash) => nodes.get(bytesToHex(hash)))
  const commit = (changes: readonly TreeChange[]) => {
    tree.commit(changes, ({ hash, bytes }) => nodes.set(bytesToHex(hash), bytes))
    return rootHex(tree)
  }
  return { tree, nodes, commit }
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
    fc.property(blocks, (list) => {
      const kept = createStoredTree()
      const records = new Map<Hex, Uint8Array>()
      let reopened = createStoredTree(kept.nodes)
      for (const changes of list) {
        applyTo(records, changes)
        const root = kept.commit(changes)
        expect(root).toBe(rootByDefinition(records))
        expect(reopened.commit(changes)).toBe(root)
        reopened = createStoredTree(kept.nodes, hexToBytes(root))
        for (const { key } of changes) {
          const want = records.get(bytesToHex(key))
          expect(kept.tree.get(key)).toEqual(want)
          expect(reopened.tree.get(key)).toEqual(want)
        }
      }
    }),
    { numRuns: 200 },
  )
})

test('a node is stored under the hash of what it holds, and every committed root stays readable', () => {
  fc.assert(
    fc.property(blocks, (list) => {
      const { nodes, commit } = createStoredTree()
      const records = new Map<Hex, Uint8Array>()
      const past = list.map((changes) => {
        applyTo(records, changes)
        return { root: commit(changes), records: new Map(records) }
      })
      for (const [hash, bytes] of nodes) {
        const isLeaf = (hexToBytes(hash)[0] ?? 0) >= 0x80
        expect(hash).toBe(bytesToHex(isLeaf ? mark(sha(bytes.slice(0, 32), sha(bytes.slice(32))), 1) : mark(sha(bytes), 0)))
      }
      for (const then of past) {
        const { tree } = createStoredTree(nodes, hexToBytes(then.root))
        for (const [key, bytes] of then.records) expect(tree.get(hexToBytes(key))).toEqual(bytes)
      }
    }),
    { numRuns: 50 },
  )
})

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

test('reset forgets what was not stored, and a missing node stops us', () => {
  const { tree, nodes, commit } = createStoredTree()
  const records = Array.from({ length: 8 }, (_, n) => ({ key: treeKey(2, Uint8Array.of(n)), record: Uint8Array.of(n) }))
  const root = commit(records)
  tree.commit([{ key: treeKey(2, Uint8Array.of(9)), record: Uint8Array.of(9) }], () => {})
  tree.reset(hexToBytes(root))
  expect(rootHex(tree)).toBe(root)
  expect(tree.get(treeKey(2, Uint8Array.of(9)))).toBeUndefined()
  nodes.clear()
  tree.reset(hexToBytes(root))
  expect(() => tree.get(treeKey(2, Uint8Array.of(1)))).toThrow(/is missing/)
})

const proofCase = fc.tuple(fc.array(change, { maxLength: 30 }), keyBytes)

test('every key has a proof of its record, or of its absence', () => {
  fc.assert(
    fc.property(proofCase, ([changes, stranger]) => {
      const { tree, commit } = createStoredTree()
      const root = commit(changes)
      for (const key of [...changes.map((one) => one.key), stranger]) {
        const proof = createLedgerProof(tree, key)
        const found = tree.get(key)
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
      for (const key of [...changes.slice(0, 3).map((one) => one.key), stranger]) {
        const proof = createLedgerProof(tree, key)
        for (const mutation of mutationsOf(proof)) expect(verifyLedgerProof(root, mutation), JSON.stringify(mutation)).toBe(false)
        for (const flipped of flips(proof.key)) {
          if (!verifyLedgerProof(root, { ...proof, key: flipped })) continue
          expect(proof.record).toBeUndefined()
          expect(tree.get(hexToBytes(flipped))).toBeUndefined()
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
  const { siblings } = createLedgerProof(tree, key)
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
  expect(createLedgerProof(tree, key(1)).siblings).toHaveLength(248)
  for (const n of [0, 1, 2]) expect(verifyLedgerProof(root, createLedgerProof(tree, key(n)))).toBe(true)
})
