/**
 * The pool's file: transactions that wait, so that they still do after a restart. Written behind the answer and never synced: what the operating system
 * keeps is there after a kill, and what it loses its senders send again.
 * Form: length(uint32) ‖ crc32(uint32) ‖ the transaction's bytes, one after another; the first that is not whole ends the file.
 */
import { closeSync, existsSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import type { PoolTx } from '../execution/mempool.ts'
import { LIMIT } from '../genesis/params.ts'
import type { ChainState } from './chainState.ts'
import { errorFacts, type Log } from './log.ts'

const HEAD_BYTES = 8
/** The file is written anew when it is this long, and so many times as long as what waits. */
const REWRITE_BYTES_MIN = 1 << 20
const REWRITE_FACTOR = 4
/** So much of a file is read, whatever its length: twice what a full pool comes to before the file is written anew. */
const READ_BYTES_MAX = 512 << 20
/** Transactions read back at a time, so that calls and blocks come in between. */
const RESTORED_AT_ONCE = 256

export type PoolJournal = {
  /** Offers the pool what the file held when it was opened: how many it took, and how many not. */
  restore(): Promise<{ readonly taken: number; readonly refused: number }>
  /** Ends a restore that is under way, and the file with all that waits in it. */
  close(): Promise<void>
}

/**
 * Opens or makes the file, and writes down from now on what enters the pool. A disk that fails is told of once: from then on nothing is written down, and the
 * node goes on, for whoever sent what waits can send it again.
 */
export function openPoolJournal(
  chain: Pick<ChainState, 'pool' | 'submit' | 'onPending' | 'onBlock'>,
  { path, log }: { readonly path: string; readonly log: Log },
): PoolJournal {
  let found: readonly Uint8Array[] = []
  let file: number | undefined
  let length = 0
  let waiting: Uint8Array[] = []
  let restoring = false
  let closed = false
  let slice: Promise<unknown> = Promise.resolve()

  function onDisk(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!isDiskError(error)) throw error
      log.warn('the pool is written down no more', { path, ...errorFacts(error) })
      const broken = file
      file = undefined
      waiting = []
      if (broken !== undefined) closeSync(broken)
    }
  }

  onDisk(() => {
    mkdirSync(dirname(path), { recursive: true })
    file = openSync(path, existsSync(path) ? 'r+' : 'w+')
    const decoded = decodeEntries(readStart(file))
    found = decoded.raws
    length = decoded.bytes
    ftruncateSync(file, length)
  })
  const restored = new WeakSet<Uint8Array>(found)

  function write(to: number, bytes: Uint8Array): void {
    let written = 0
    while (written < bytes.length) written += writeSync(to, bytes, written, bytes.length - written, length + written) // ends: writeSync writes or throws
    length += bytes.length
  }

  function flush(): void {
    if (file === undefined || waiting.length === 0) return
    const bytes = encodeEntries(waiting)
    waiting = []
    write(file, bytes)
  }

  /** Replaces the file by one of what waits. A kill in between leaves the old one. */
  function rewrite(txs: readonly PoolTx[]): void {
    const next = openSync(`${path}.next`, 'w+')
    if (file !== undefined) closeSync(file)
    file = next
    length = 0
    waiting = []
    write(next, encodeEntries(txs.map(({ raw }) => raw)))
    renameSync(`${path}.next`, path)
  }

  const stops = [
    chain.onPending((tx) => {
      if (file === undefined || restored.has(tx.raw)) return
      if (waiting.length === 0) setImmediate(() => onDisk(flush))
      waiting.push(tx.raw)
    }),
    chain.onBlock(() => {
      if (file === undefined || restoring || length < REWRITE_BYTES_MIN) return
      if (length > REWRITE_FACTOR * chain.pool.status().bytes) onDisk(() => rewrite(chain.pool.all()))
    }),
  ]

  return {
    async restore() {
      restoring = true
      const raws = found
      found = []
      let taken = 0
      for (let at = 0; at < raws.length && !closed; at += RESTORED_AT_ONCE) {
        const submitted = Promise.all(raws.slice(at, at + RESTORED_AT_ONCE).map((raw) => chain.submit(raw, 'peer')))
        slice = submitted
        const results = await submitted
        taken += results.filter(({ ok }) => ok).length
      }
      restoring = false
      return { taken, refused: raws.length - taken }
    },
    async close() {
      closed = true
      await slice
      for (const stop of stops) stop()
      onDisk(flush)
      if (file !== undefined) closeSync(file)
      file = undefined
    },
  }
}

/** The file's bytes as far as they are read at all. */
function readStart(file: number): Uint8Array {
  const bytes = new Uint8Array(Math.min(fstatSync(file).size, READ_BYTES_MAX))
  let read = 0
  for (let got = 1; got > 0 && read < bytes.length; read += got) got = readSync(file, bytes, read, bytes.length - read, read)
  return bytes.subarray(0, read)
}

/** Whether the system refused something, and we did not ask for nonsense. */
function isDiskError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}

/** Transactions as the file holds them. */
export function encodeEntries(raws: readonly Uint8Array[]): Uint8Array {
  const entries = Buffer.allocUnsafe(raws.reduce((bytes, raw) => bytes + HEAD_BYTES + raw.length, 0))
  let at = 0
  for (const raw of raws) {
    entries.writeUInt32BE(raw.length, at)
    entries.writeUInt32BE(crc32(raw), at + 4)
    entries.set(raw, at + HEAD_BYTES)
    at += HEAD_BYTES + raw.length
  }
  return entries
}

/** The transactions that the bytes hold, up to the first that is not whole, and how many bytes they are. */
export function decodeEntries(bytes: Uint8Array): { readonly raws: Uint8Array[]; readonly bytes: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const raws: Uint8Array[] = []
  let at = 0
  // ends: each turn takes at least the head of an entry
  while (at + HEAD_BYTES <= bytes.length) {
    const size = view.getUint32(at)
    const raw = bytes.slice(at + HEAD_BYTES, at + HEAD_BYTES + size)
    if (size === 0 || size > LIMIT.txBytes || raw.length < size || crc32(raw) !== view.getUint32(at + 4)) break
    raws.push(raw)
    at += HEAD_BYTES + size
  }
  return { raws, bytes: at }
}
