import { createMPT } from '@ethereumjs/mpt'
import { RLP } from '@ethereumjs/rlp'
import fc from 'fast-check'
import { bytesToHex } from 'viem'
import { expect, test } from 'vitest'
import { createTrie, EMPTY_ROOT, orderedRoot } from '../../execution/mpt.ts'

/** Few keys, some the beginning of others, short and long values: splits, merges, inline nodes, values in branches, and deletions back to where nothing was. */
const key = fc.uint8Array({ minLength: 1, maxLength: 4 }).map((bytes) => bytes.map((byte) => byte & 0x31))
const value = fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 3 }), fc.uint8Array({ minLength: 30, maxLength: 80 }))
const change = fc.record({ key, value: fc.option(value, { nil: undefined }) })

test('same roots as @ethereumjs/mpt after any changes, with the trie read again from its nodes in between', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(change, { maxLength: 12 }), { maxLength: 6 }), async (blocks) => {
      const content = new Map<string, { key: Uint8Array; value: Uint8Array }>()
      const nodes = new Map<string, Uint8Array>()
      let root = EMPTY_ROOT
      for (const block of blocks) {
        const trie = createTrie({ root, readNode: (hash) => nodes.get(bytesToHex(hash)) })
        for (const one of block) {
          if (one.value) {
            trie.put(one.key, one.value)
            content.set(bytesToHex(one.key), { key: one.key, value: one.value })
          } else {
            trie.delete(one.key)
            content.delete(bytesToHex(one.key))
          }
          expect(trie.get(one.key)).toEqual(one.value)
        }
        // Made anew: the library's deletion forgets the value of a branch that is left with one child.
        const reference = await createMPT({})
        for (const { key, value } of content.values()) await reference.put(key, value)
        root = trie.root((hash, encoding) => nodes.set(bytesToHex(hash), encoding))
        expect(bytesToHex(root)).toBe(bytesToHex(reference.root()))
      }
    }),
    { numRuns: 150 },
  )
})

test('the ordered root is that of the trie over rlp(index)', async () => {
  const counts = [0, 1, 2, 15, 16, 17, 18, 127, 128, 129, 130, 255, 256, 257, 258, 300, 700]
  for (const [count, length] of counts.flatMap((one) => [[one, 1] as const, [one, 40] as const, [one, 600] as const])) {
    const items = Array.from({ length: count }, (_, i) => Uint8Array.from({ length }, (_, j) => 1 + ((i * 7 + j) % 255)))
    const reference = await createMPT({})
    for (const [index, item] of items.entries()) await reference.put(RLP.encode(index), item)
    expect(bytesToHex(orderedRoot(items))).toBe(bytesToHex(reference.root()))
  }
})

test('everything in a trie is visited once', () => {
  const trie = createTrie()
  const keys = [0x00112233, 0x00112234, 0x10112233, 0x1011ff33].map((n) => Uint8Array.of(n >> 24, n >> 16, n >> 8, n))
  for (const [i, one] of keys.entries()) trie.put(one, Uint8Array.of(i + 1))
  const seen: string[] = []
  trie.forEach((nibbles, found) => {
    seen.push(`${[...nibbles].map((n) => n.toString(16)).join('')}=${found[0]}`)
  })
  expect(seen).toEqual(['00112233=1', '00112234=2', '10112233=3', '1011ff33=4'])
})
