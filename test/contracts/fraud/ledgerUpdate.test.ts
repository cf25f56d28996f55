/**
 * contracts/fraud/LedgerUpdate.sol, which was written from docs/spec/ledger.md and not from the code here, holds with the ledger's tree: for random ledgers and
 * random changes it gives both roots, and no changed witness gives the old root with another new one.
 */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { BaseError, bytesToHex, type Hex, hexToBytes } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LedgerSource } from '../../../execution/ledger/rootReader.ts'
import { createLedgerTree, EMPTY, rootHex, treeKey } from '../../../execution/ledger/tree.ts'
import { witnessOf } from '../../../settlement/witness.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../../fakes/anvil.ts'
import { stageClient } from '../../fakes/l1Stage.ts'
import { deployWatcher, watcherAbi } from './watcher.ts'

let anvil: Anvil
let client: ReturnType<typeof stageClient>
let address: Hex

beforeAll(async () => {
  anvil = await startAnvil()
  client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  address = await deployWatcher(client, { chainId: 1, epochSec: 1, epochBlocks: 0 })
})
afterAll(() => anvil?.stop())

const digest = (text: string) => new Uint8Array(createHash('sha256').update(text).digest())

type Place = { readonly table: number; readonly id: Uint8Array }

const placeOf = (seed: number, i: number): Place => ({ table: i % 13, id: digest(`${seed} id ${i}`).subarray(0, 4 + (i % 20)) })
const recordOf = (seed: number, i: number) => digest(`${seed} record ${i}`).subarray(0, 1 + (i % 32))

/** A ledger of so many records, and some changes of it: of records that are there, and of some that are not. */
function caseOf({ seed, records, touched, fates }: Case) {
  const entries = new Map<Hex, Uint8Array>()
  const known = new Map<string, Uint8Array>()
  const nameOf = ({ table, id }: Place) => `${table}:${bytesToHex(id)}`
  const tree = createLedgerTree(EMPTY, (key) => entries.get(bytesToHex(key)))
  const commit = (changes: readonly { place: Place; record: Uint8Array | undefined }[]) => {
    tree.commit(
      changes.map(({ place: { table, id }, record }) => ({ key: treeKey(table, id), record })),
      ({ key, bytes }) => entries.set(bytesToHex(key), bytes.slice()),
    )
  }
  const content = Array.from({ length: records }, (_, i) => ({ place: placeOf(seed, i), record: recordOf(seed, i) }))
  for (const { place, record } of content) known.set(nameOf(place), record)
  commit(content)
  const root = rootHex(tree)
  const source: LedgerSource = {
    ledgerRecord: (table, id) => known.get(nameOf({ table, id })),
    ledgerEntry: (key) => entries.get(bytesToHex(key)),
  }
  const places = [...new Set(touched.map((at) => at % (records * 2 + 3)))].map((i) => placeOf(seed, i))
  const witness = witnessOf({ root, source }, places)
  const keys = places.map(({ table, id }) => treeKey(table, id)).toSorted(Buffer.compare)
  const before = new Map(places.map((place) => [bytesToHex(treeKey(place.table, place.id)), known.get(nameOf(place))]))
  const news = keys.map((key, i) => {
    const fate = fates[i % fates.length] ?? 'keep'
    const written = fate === 'write' ? digest(`${seed} new ${i}`).subarray(0, 1 + (i % 32)) : undefined
    return bytesToHex((fate === 'keep' ? before.get(bytesToHex(key)) : written) ?? new Uint8Array())
  })
  /** The root after these records, by key, are written, or deleted where they are empty. */
  const rootAfter = (changedKeys: readonly Uint8Array[], records: readonly Hex[]): Hex => {
    const changes = changedKeys.map((key, i) => ({ key, record: records[i] === '0x' ? undefined : hexToBytes(records[i] ?? '0x') }))
    return bytesToHex(createLedgerTree(hexToBytes(root), source.ledgerEntry).commit(changes, () => {}))
  }
  return { root, witness, keys, news, rootAfter }
}

/** The keys of a witness that may be anything; as many as it says that it has, and has. */
function keysIn(witness: Uint8Array): Uint8Array[] {
  const keys: Uint8Array[] = []
  const u16 = (at: number) => ((witness[at] ?? 0) << 8) | (witness[at + 1] ?? 0)
  for (let at = 2; keys.length < u16(0) && at + 34 <= witness.length; at += 34 + u16(at + 32)) keys.push(witness.slice(at, at + 32))
  return keys
}

type Case = {
  readonly seed: number
  readonly records: number
  readonly touched: readonly number[]
  readonly fates: readonly ('keep' | 'delete' | 'write')[]
}

const arbitraryCase: fc.Arbitrary<Case> = fc.record({
  seed: fc.nat(1_000_000),
  records: fc.constantFrom(0, 1, 2, 3, 8, 50, 700),
  touched: fc.array(fc.nat(2_000), { maxLength: 40 }),
  fates: fc.array(fc.constantFrom('keep' as const, 'delete' as const, 'write' as const), { minLength: 1, maxLength: 9 }),
})

async function rootsOf(witness: Uint8Array, news: readonly Hex[]) {
  const call = { address, abi: watcherAbi, functionName: 'rootsOf', args: [bytesToHex(witness), news], gas: 30_000_000n } as const
  const { result } = await client.simulateContract(call)
  const [oldRoot, newRoot, gasUsed] = result
  return { oldRoot, newRoot, gasUsed: Number(gasUsed) }
}

test('both roots of random ledgers with random changes are those of the tree', { timeout: 120_000 }, () =>
  fc.assert(
    fc.asyncProperty(arbitraryCase, async (one) => {
      const { root, witness, keys, news, rootAfter } = caseOf(one)
      expect(keysIn(witness)).toEqual(keys)
      expect(await rootsOf(witness, news)).toMatchObject({ oldRoot: root, newRoot: rootAfter(keys, news) })
    }),
    { numRuns: Number(process.env.TWIN_RUNS ?? 100) },
  ),
)

test('a changed witness says nothing false of the same root', { timeout: 120_000 }, () =>
  fc.assert(
    fc.asyncProperty(
      arbitraryCase,
      fc.nat(),
      fc.constantFrom<(bytes: Uint8Array, at: number) => Uint8Array>(
        (bytes, at) => bytes.map((byte, i) => (i === at % bytes.length ? byte ^ (1 << (at % 8)) : byte)),
        (bytes, at) => bytes.filter((_, i) => i !== at % bytes.length),
        (bytes) => Uint8Array.from([...bytes, 0]),
        (bytes, at) => bytes.slice(0, at % bytes.length),
        // A tag made another one, wherever there is one.
        (bytes, at) => bytes.map((byte, i) => (byte <= 3 && i % 7 === at % 7 && i > 2 ? (byte + 1 + (at % 3)) % 4 : byte)),
      ),
      async (one, at, change) => {
        const { root, witness, news, rootAfter } = caseOf(one)
        const changed = change(witness, at)
        const keys = keysIn(changed)
        const written = keys.map((_, i) => news[i] ?? '0x')
        const told = await rootsOf(changed, written).catch((error: unknown) => {
          if (!(error instanceof BaseError)) throw error
          return undefined
        })
        // Of another root it may say what it likes. Of this one it may speak of other keys, and only the truth.
        if (told?.oldRoot === root) expect(told.newRoot).toBe(rootAfter(keys, written))
      },
    ),
    { numRuns: Number(process.env.TWIN_RUNS ?? 200) },
  ),
)
