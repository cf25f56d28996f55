/**
 * addresses: what the index of addresses (node/addressIndex.ts) costs an upload, and what a search in it takes: uploads of two contributors each, in
 * blocks of 500, by few senders and by many, into a level store as a node's. Documented in docs/benchmarks.md.
 *
 *     npm run bench -- addresses [--json] -- [--ops 100000] [--senders 1000,50000]
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hex, keccak256, pad, toHex } from 'viem'
import type { Header } from '../../execution/block.ts'
import { datanetUpload } from '../../execution/native/datanetUpload.ts'
import type { NativeTx } from '../../execution/tx.ts'
import { TX_TYPE } from '../../genesis/params.ts'
import { type AddressIndex, createAddressIndex } from '../../node/addressIndex.ts'
import type { DecodedBlock } from '../../node/blocks.ts'
import { openStore } from '../../node/store.ts'
import { touchesOf } from '../../node/touches.ts'
import { costOf, digits, progress, readOptions, report, textTable } from './measure.ts'

const options = readOptions({ ops: 100_000, senders: '1000,50000' })
const BLOCK_OPS = 500
/** Searched below the head: an address that is often touched, and one that never is, for which every segment is looked at. */
const PAGE = 25
const NOBODY: Hex = `0x${'99'.repeat(20)}`

type Figures = {
  readonly senders: number
  readonly mainUs: number
  readonly allThreadsUs: number
  readonly diskBytes: number
  readonly segments: number
  readonly searchMs: number
  readonly searchNobodyMs: number
}

const figures: Figures[] = []
for (const senders of options.senders.split(',').map(Number)) {
  progress(`${senders} senders`)
  figures.push(await measure(senders))
}
const rows = figures.map((one) => [
  String(one.senders),
  ...[one.mainUs, one.allThreadsUs, one.diskBytes, one.segments, one.searchMs, one.searchNobodyMs].map(digits),
])
const head = ['senders', 'main thread µs an upload', 'all threads', 'disk bytes', 'segments', 'a page of 25, ms', 'of nobody']
report({ bench: 'addresses', json: options.json, text: textTable(head, rows), figures: { sizes: figures } })

async function measure(senders: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-addresses-'))
  const store = await openStore(folder)
  try {
    const people = Array.from({ length: senders }, (_, i): Hex => `0x${keccak256(toHex(i)).slice(26)}`)
    const index = createAddressIndex(store.addressSegments)
    // Made before the clock starts: a node has its blocks decoded already.
    const blocks = Array.from({ length: Math.ceil(options.ops / BLOCK_OPS) }, (_, i) => blockOf(BigInt(i + 1), people))
    const ports = { reader: store.reader, trace: async () => true }
    const { cost } = await costOf(async () => {
      for (const block of blocks) await index.add(block.block.header.number, await touchesOf(block, ports))
    })
    const ops = blocks.length * BLOCK_OPS
    return {
      senders,
      mainUs: (cost.mainMs * 1_000) / ops,
      allThreadsUs: (cost.processMs * 1_000) / ops,
      diskBytes: bytesIn(folder) / ops,
      segments: store.addressSegments.list().length,
      searchMs: await searchMs(index, people[0] ?? NOBODY),
      searchNobodyMs: await searchMs(index, NOBODY),
    }
  } finally {
    await store.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function searchMs(index: AddressIndex, address: Hex): Promise<number> {
  const { cost } = await costOf(() => index.touching(address, { from: index.reached() + 1n, direction: 'below', count: PAGE }))
  return cost.wallMs
}

function blockOf(number: bigint, people: readonly Hex[]): DecodedBlock {
  const first = Number(number - 1n) * BLOCK_OPS
  const transactions = Array.from({ length: BLOCK_OPS }, (_, i) => uploadOf(first + i, people))
  return { hash: '0x', block: { header: { number } as Header, transactions: [] }, transactions, receipts: [], operations: [] }
}

function uploadOf(n: number, people: readonly Hex[]): NativeTx {
  // Addresses that were decoded are strings of their own, each to be hashed anew.
  const person = (at: number) => Buffer.from(people[at % people.length] ?? NOBODY).toString() as Hex
  const contributors = [person(n * 7), person(n * 7 + 31)].map((account) => ({ account, shareBps: 5_000, role: 1 }))
  const root = pad(toHex(n), { size: 32 })
  const fields = { datanetId: 1, contentRoot: root, contentId: root, recordCount: 1, byteCount: 1n, contributors }
  const signature = { yParity: 0, r: new Uint8Array(32), s: new Uint8Array(32) } as const
  const native = { type: datanetUpload, chainId: 1, nonce: BigInt(Math.floor(n / people.length)), maxFeeWei: 0n, fields, signature }
  return { kind: 'native', raw: new Uint8Array(), hash: root, sender: person(n), type: TX_TYPE.datanetUpload, native, gas: 0n }
}

function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}
