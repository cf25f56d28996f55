/**
 * ledger: what it costs to commit changed records, in trees of two sizes: the ledger's binary tree, our batched Merkle-Patricia trie, and
 * @ethereumjs/mpt as it comes and with our keccak256. All of them hash their keys and hand each new node to a store in memory.
 * Documented in docs/benchmarks.md.
 *
 *     node test/bench/ledger.bench.ts [--sizes 10000,100000] [--changes 1000] [--rounds 20] [--json]
 */
import { createMPT } from '@ethereumjs/mpt'
import { MapDB } from '@ethereumjs/util'
import { bytesToHex, concatBytes, numberToBytes } from 'viem'
import { keccak256 } from '../../execution/keccak.ts'
import { createLedgerTree, EMPTY, treeKey } from '../../execution/ledger/tree.ts'
import { createTrie } from '../../execution/mpt.ts'
import { costOf, digits, progress, readOptions, report, type Spread, show, spreadOf, textTable, times } from './measure.ts'
import { seeded } from './operations.ts'

const options = readOptions({ sizes: '10000,100000', changes: 1_000, rounds: 20 })
/** Rounds that are not counted: they are for the compiler. */
const WARM_UP_ROUNDS = 5
/** Of the changed records, one in ten is new. */
const NEW_PART = 0.1
const TABLE = 0x01

type Change = { readonly id: Uint8Array; readonly record: Uint8Array }
/** Something with a root that changes can be committed to. */
type Tree = { readonly name: string; commit(changes: readonly Change[]): Promise<void> | void }
type Nodes = Map<string, Uint8Array>

const sizes = options.sizes.split(',').map(Number)
const found: { size: number; tree: string; us: Spread }[] = []
for (const size of sizes) found.push(...(await measureSize(size)))
printResult()

async function measureSize(size: number): Promise<{ size: number; tree: string; us: Spread }[]> {
  const first = Array.from({ length: size }, (_, i) => change(i, 0))
  const trees = await createTrees(first)
  const samples = new Map(trees.map(({ name }) => [name, [] as number[]]))
  let count = size
  for (let round = 0; round < WARM_UP_ROUNDS + options.rounds; round++) {
    const fresh = Math.round(options.changes * NEW_PART)
    const changes = Array.from({ length: options.changes }, (_, i) =>
      i < fresh ? change(count++, round) : change((round * 6_361 + i * 7_919) % size, round + 1),
    )
    for (const tree of trees) {
      const { cost } = await costOf(() => tree.commit(changes))
      if (round >= WARM_UP_ROUNDS) samples.get(tree.name)?.push((cost.mainMs * 1_000) / changes.length)
    }
  }
  progress(`${size} records done`)
  return [...samples].map(([tree, values]) => ({ size, tree, us: spreadOf(values) }))
}

/** An account as the ledger keeps it: 40 bytes that change. */
function change(number: number, round: number): Change {
  return {
    id: seeded(`account ${number}`).subarray(0, 20),
    record: concatBytes([numberToBytes(number + 1, { size: 8 }), seeded(`record ${number} ${round}`)]),
  }
}

async function createTrees(first: readonly Change[]): Promise<Tree[]> {
  const ledgerNodes: Nodes = new Map()
  const ledger = createLedgerTree(EMPTY, (key) => ledgerNodes.get(nameOf(key)))
  const commitToLedger = (changes: readonly Change[]) => {
    ledger.commit(
      changes.map(({ id, record }) => ({ key: treeKey(TABLE, id), record })),
      ({ key, bytes }) => ledgerNodes.set(nameOf(key), bytes),
    )
  }
  commitToLedger(first)

  const trieNodes: Nodes = new Map()
  const trie = createTrie({ readNode: (hash) => trieNodes.get(nameOf(hash)) })
  const commitToTrie = (changes: readonly Change[]) => {
    for (const { id, record } of changes) trie.put(keccak256(id), record)
    return trie.root((hash, encoding) => trieNodes.set(nameOf(hash), encoding))
  }
  const root = commitToTrie(first)

  // The library's tries go on from our nodes: the same encodings under the same root.
  const stock = async (name: string, common?: { readonly customCrypto: { readonly keccak256: typeof keccak256 } }): Promise<Tree> => {
    const db = new MapDB<string, Uint8Array>(new Map(trieNodes))
    const mpt = await createMPT({ db, root, useKeyHashing: true, valueEncoding: 'view', cacheSize: 100_000, ...(common ? { common } : {}) })
    return {
      name,
      async commit(changes) {
        for (const { id, record } of changes) await mpt.put(id, record)
      },
    }
  }
  return [
    { name: 'ledger tree', commit: commitToLedger },
    { name: 'our trie, batched', commit: (changes) => void commitToTrie(changes) },
    await stock('@ethereumjs/mpt, our keccak256', { customCrypto: { keccak256 } }),
    await stock('@ethereumjs/mpt'),
  ]
}

/** A node's name in the library's stores: hex without prefix. */
function nameOf(hash: Uint8Array): string {
  return bytesToHex(hash).slice(2)
}

function printResult(): void {
  const rows = found.map(({ size, tree, us }) => {
    const own = found.find((one) => one.size === size && one.tree === 'ledger tree')
    return [digits(size), tree, show(us), own ? times(us.median / own.us.median) : '']
  })
  const text = textTable(['records', 'tree', 'µs a changed record, main thread', 'of the ledger tree'], rows)
  const figures = { changes: options.changes, rounds: options.rounds, trees: found.map(({ us, ...rest }) => ({ ...rest, mainUs: us })) }
  report({ bench: 'ledger', json: options.json, text, figures })
}
