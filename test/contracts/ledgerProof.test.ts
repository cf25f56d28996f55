/**
 * contracts/LedgerProof.sol, which was written from docs/spec/ledger.md and not from the code here, holds with what the ledger's tree proves: for random
 * ledgers it takes every proof of presence and of absence, and none that was changed.
 */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { bytesToHex, type Hex, hexToBytes, parseAbi, toHex } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { proofReaderBytecode } from '../../contracts/artifacts.ts'
import { createLedgerProof, type LedgerProof, verifyLedgerProof } from '../../execution/ledger/proof.ts'
import { createLedgerTree, EMPTY, rootHex, treeKey } from '../../execution/ledger/tree.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../fakes/anvil.ts'
import { mined, stageClient } from '../fakes/l1Stage.ts'

const readerAbi = parseAbi([
  'struct Other { bytes32 key; bytes32 valueHash; }',
  'function keyOf(uint8 table, bytes id) view returns (bytes32)',
  'function isPresent(bytes32 root, bytes32 key, bytes record, bytes32[] siblings) view returns (bool verdict, uint256 gasUsed)',
  'function isAbsent(bytes32 root, bytes32 key, Other other, bytes32[] siblings) view returns (bool verdict, uint256 gasUsed)',
])
const ZERO: Hex = `0x${'00'.repeat(32)}`

let anvil: Anvil
let client: ReturnType<typeof stageClient>
let reader: { readonly address: Hex; readonly abi: typeof readerAbi }

beforeAll(async () => {
  anvil = await startAnvil()
  client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  const { contractAddress } = await mined(client, await client.sendTransaction({ data: proofReaderBytecode }))
  if (!contractAddress) throw new Error('no contract was made')
  reader = { address: contractAddress, abi: readerAbi }
})
afterAll(() => anvil?.stop())

async function onChain(root: Hex, { key, record, other, siblings }: LedgerProof) {
  const [verdict, gasUsed] =
    record === undefined
      ? await client.readContract({
          ...reader,
          functionName: 'isAbsent',
          args: [root, key, other ?? { key: ZERO, valueHash: ZERO }, siblings],
        })
      : await client.readContract({ ...reader, functionName: 'isPresent', args: [root, key, record, siblings] })
  return { verdict, gasUsed: Number(gasUsed) }
}

/** A ledger of so many records, whose keys and contents follow from the seed. */
function ledgerOf(seed: number, records: number) {
  const digest = (text: string) => new Uint8Array(createHash('sha256').update(text).digest())
  const entries = new Map<Hex, Uint8Array>()
  const tree = createLedgerTree(EMPTY, (key) => entries.get(bytesToHex(key)))
  const content = Array.from({ length: records }, (_, i) => ({
    key: treeKey(i % 13, digest(`${seed} id ${i}`).subarray(0, 1 + (i % 24))),
    record: digest(`${seed} record ${i}`).subarray(0, i % 33),
  }))
  tree.commit(content, ({ key, bytes }) => entries.set(bytesToHex(key), bytes))
  const unknown = (i: number) => treeKey(0xff, digest(`${seed} unknown ${i}`))
  return { root: rootHex(tree), tree, content: [...new Map(content.map((one) => [bytesToHex(one.key), one])).values()], unknown }
}

test('the key of a record is that of the tree', async () => {
  for (const [table, id] of [
    [0, '0x'],
    [1, `0x${'ab'.repeat(20)}`],
    [255, '0x0102030405'],
  ] as const) {
    expect(await client.readContract({ ...reader, functionName: 'keyOf', args: [table, id] })).toBe(
      bytesToHex(treeKey(table, hexToBytes(id))),
    )
  }
})

test('proofs of presence and absence from random ledgers hold', () =>
  fc.assert(
    fc.asyncProperty(fc.nat(1_000_000), fc.constantFrom(0, 1, 2, 3, 50, 700), async (seed, records) => {
      const { root, tree, content, unknown } = ledgerOf(seed, records)
      const present = content.filter((_, i) => i % Math.ceil(content.length / 8) === 0)
      const proofs = [
        ...present.map(({ key, record }) => createLedgerProof(tree, key, record)),
        ...Array.from({ length: 8 }, (_, i) => createLedgerProof(tree, unknown(i), undefined)),
      ]
      for (const proof of proofs) expect({ proof, ...(await onChain(root, proof)) }).toMatchObject({ proof, verdict: true })
    }),
    { numRuns: 8 },
  ))

/** Ways to change a proof; some give undefined where there is nothing to change. */
const CHANGES: Readonly<Record<string, (proof: LedgerProof, at: number) => LedgerProof | undefined>> = {
  'a bit of the key': (proof, at) => ({ ...proof, key: flip(proof.key, at) }),
  'a bit of the record': (proof, at) =>
    proof.record === undefined || proof.record === '0x' ? undefined : { ...proof, record: flip(proof.record, at) },
  'a byte more of the record': (proof) => proof.record && { ...proof, record: `${proof.record}00` as Hex },
  'a bit of a sibling': (proof, at) =>
    proof.siblings.length === 0
      ? undefined
      : { ...proof, siblings: proof.siblings.map((one, i) => (i === at % proof.siblings.length ? flip(one, at) : one)) },
  'a sibling less': (proof) => (proof.siblings.length === 0 ? undefined : { ...proof, siblings: proof.siblings.slice(1) }),
  'a sibling more': (proof) => ({ ...proof, siblings: [...proof.siblings, ZERO] }),
  'the siblings from the other end': (proof) =>
    proof.siblings.length < 2 || proof.siblings[0] === proof.siblings.at(-1)
      ? undefined
      : { ...proof, siblings: proof.siblings.toReversed() },
  'a present record as absent': (proof) => (proof.record === undefined ? undefined : { ...proof, record: undefined }),
  'an absent record as an empty one': (proof) => (proof.record === undefined ? { ...proof, record: '0x', other: undefined } : undefined),
  'a bit of the other leaf': (proof, at) =>
    proof.other && { ...proof, other: { ...proof.other, valueHash: flip(proof.other.valueHash, at) } },
  'the key as its own other': (proof) =>
    proof.record !== undefined ? { ...proof, record: undefined, other: { key: proof.key, valueHash: sha256Of(proof.record) } } : undefined,
  'the other leaf left out': (proof) => proof.other && { ...proof, other: undefined },
}

test('a changed proof shows nothing, on chain as here', () =>
  fc.assert(
    fc.asyncProperty(fc.nat(1_000_000), fc.nat(255), fc.constantFrom(...Object.keys(CHANGES)), async (seed, at, change) => {
      const { root, tree, content, unknown } = ledgerOf(seed, 40)
      const known = content[at % content.length]
      if (!known) throw new Error('there are records')
      for (const proof of [createLedgerProof(tree, known.key, known.record), createLedgerProof(tree, unknown(at), undefined)]) {
        const changed = CHANGES[change]?.(proof, at)
        if (!changed) continue
        // What it says may still be true: another key's bits below the depth of an empty place are free.
        const here = verifyLedgerProof(root, changed)
        expect({ changed, verdict: here }).toEqual({ changed, verdict: (await onChain(root, changed)).verdict })
        if (here) expect(change).toBe('a bit of the key')
        if (here) expect(changed.record).toBeUndefined()
      }
    }),
    { numRuns: 120 },
  ))

test('more siblings than bits, or a root of another ledger, show nothing', async () => {
  const { root, tree, content } = ledgerOf(7, 3)
  const [first] = content
  if (!first) throw new Error('there are records')
  const proof = createLedgerProof(tree, first.key, first.record)
  expect((await onChain(root, { ...proof, siblings: Array.from({ length: 256 }, () => ZERO) })).verdict).toBe(false)
  expect((await onChain(ledgerOf(8, 3).root, proof)).verdict).toBe(false)
})

test('gas: about 500 a sibling, and a proof from a ledger of 700 records costs less than 12,000', async () => {
  const { root, tree, content } = ledgerOf(1, 700)
  const measured: { depth: number; gas: number }[] = []
  for (const { key, record } of content.slice(0, 40)) {
    const proof = createLedgerProof(tree, key, record)
    measured.push({ depth: proof.siblings.length, gas: (await onChain(root, proof)).gasUsed })
  }
  const [least, most] = [Math.min, Math.max].map((pick) =>
    measured.find(({ depth }) => depth === pick(...measured.map((one) => one.depth))),
  )
  if (!least || !most) throw new Error('nothing was measured')
  const perSibling = (most.gas - least.gas) / Math.max(1, most.depth - least.depth)
  process.stdout.write(`gas of a ledger proof: ${least.gas} with ${least.depth} siblings, ${most.gas} with ${most.depth}\n`)
  expect(perSibling).toBeLessThan(600)
  expect(most.gas).toBeLessThan(12_000)
})

function flip(hex: Hex, at: number): Hex {
  const bytes = hexToBytes(hex)
  const place = at % (bytes.length * 8)
  bytes[place >> 3] = (bytes[place >> 3] ?? 0) ^ (0x80 >> (place & 7))
  return toHex(bytes)
}

function sha256Of(hex: Hex): Hex {
  return bytesToHex(new Uint8Array(createHash('sha256').update(hexToBytes(hex)).digest()))
}
