/**
 * The pool's file: transactions that wait, so that they still do after a restart. Written behind the answer and never synced: what the operating system
 * keeps is there after a kill, and what it loses its senders send again.
 * Form: length(uint32) ‖ crc32(uint32) ‖ the transaction's bytes, one after another; the first that is not whole ends the file.
 */
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import type { PoolTx } from '../execution/mempool.ts'
import { LIMIT } from '../genesis/params.ts'
import type { ChainState } from './chainState.ts'

const HEAD_BYTES = 8
/** The file is written anew when it is this long, and so many times as long as what waits. */
const REWRITE_BYTES_MIN = 1 << 20
const REWRITE_FACTOR = 4
/** Transactions read back at a time, so that calls and blocks come in between. */
const RESTORED_AT_ONCE = 256

export type PoolJournal = {
  /** Offers the pool what the file held when it was opened: how many it took, and how many not. */
  restore(): Promise<{ readonly taken: number; readonly refused: number }>
  /** Ends a restore that is under way, and the file with all that waits in it. */
  close(): Promise<void>
}

/** Opens or makes the file, and writes down from now on what enters the pool. Errors of the disk are thrown. */
export function openPoolJournal(chain: Pick<ChainState, 'pool' | 'submit' | 'onPending' | 'onBlock'>, path: string): PoolJournal {
  mkdirSync(dirname(path), { recursive: true })
  const found = existsSync(path) ? decodeEntries(new Uint8Array(readFileSync(path))) : { raws: [], bytes: 0 }
  const restored = new WeakSet<Uint8Array>(found.raws)
  let file = openSync(path, existsSync(path) ? 'r+' : 'w+')
  let length = found.bytes
  ftruncateSync(file, length)
  let waiting: Uint8Array[] = []
  let restoring = false
  let closed = false
  let slice: Promise<unknown> = Promise.resolve()

  function write(bytes: Uint8Array): void {
    let written = 0
    while (written < bytes.length) written += writeSync(file, bytes, written, bytes.length - written, length + written) // ends: writeSync writes or throws
    length += bytes.length
  }

  function flush(): void {
    const bytes = Buffer.concat(waiting)
    waiting = []
    if (bytes.length > 0) write(bytes)
  }

  /** Replaces the file by one of what waits. A kill in between leaves the old one. */
  function rewrite(txs: readonly PoolTx[]): void {
    const next = openSync(`${path}.next`, 'w+')
    closeSync(file)
    file = next
    length = 0
    waiting = []
    write(Buffer.concat(txs.map((tx) => encodeEntry(tx.raw))))
    renameSync(`${path}.next`, path)
  }

  const stops = [
    chain.onPending((tx) => {
      if (restored.has(tx.raw)) return
      if (waiting.length === 0) setImmediate(flush)
      waiting.push(encodeEntry(tx.raw))
    }),
    chain.onBlock(() => {
      if (restoring || length < REWRITE_BYTES_MIN) return
      if (length > REWRITE_FACTOR * chain.pool.status().bytes) rewrite(chain.pool.all())
    }),
  ]

  return {
    async restore() {
      restoring = true
      let taken = 0
      for (let at = 0; at < found.raws.length && !closed; at += RESTORED_AT_ONCE) {
        const submitted = Promise.all(found.raws.slice(at, at + RESTORED_AT_ONCE).map((raw) => chain.submit(raw, 'peer')))
        slice = submitted
        const results = await submitted
        taken += results.filter(({ ok }) => ok).length
      }
      restoring = false
      return { taken, refused: found.raws.length - taken }
    },
    async close() {
      closed = true
      await slice
      for (const stop of stops) stop()
      flush()
      closeSync(file)
    },
  }
}

/** One transaction as the file holds it. */
export function encodeEntry(raw: Uint8Array): Uint8Array {
  const entry = Buffer.alloc(HEAD_BYTES + raw.length)
  entry.writeUInt32BE(raw.length, 0)
  entry.writeUInt32BE(crc32(raw), 4)
  entry.set(raw, HEAD_BYTES)
  return entry
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
