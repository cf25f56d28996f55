/**
 * The validator's two files beside the store: the write-ahead log of the open height, and the guard of its key. Both are on disk before anything
 * they speak of leaves the process. Bytes: consensus/wal.ts, consensus/guard.ts.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

export type Journal = {
  /** Bytes of the log as the last run left them. */
  readonly found: Uint8Array
  append(bytes: Uint8Array): void
  /** Waits until everything appended is on disk. */
  sync(): void
  /** Cuts the log to this length. */
  truncate(length: number): void
  readGuard(): Uint8Array | undefined
  /** Replaces the guard; it is on disk when this returns. */
  writeGuard(bytes: Uint8Array): void
  close(): void
}

/** Opens or makes the files in a directory. Any error of the disk is thrown: a validator that cannot log must not vote. */
export function openJournal(directory: string): Journal {
  mkdirSync(directory, { recursive: true })
  const walPath = join(directory, 'wal')
  const guardPath = join(directory, 'guard')
  const found = existsSync(walPath) ? new Uint8Array(readFileSync(walPath)) : new Uint8Array()
  const wal = openSync(walPath, existsSync(walPath) ? 'r+' : 'w+')
  const folder = openSync(directory, 'r')
  fsyncSync(folder)
  let length = found.length
  let synced = true
  return {
    found,
    append(bytes) {
      let written = 0
      while (written < bytes.length) written += writeSync(wal, bytes, written, bytes.length - written, length + written) // ends: writeSync writes or throws
      length += bytes.length
      synced = false
    },
    sync() {
      if (synced) return
      fdatasyncSync(wal)
      synced = true
    },
    truncate(to) {
      ftruncateSync(wal, to)
      length = to
      synced = false
    },
    readGuard: () => (existsSync(guardPath) ? new Uint8Array(readFileSync(guardPath)) : undefined),
    writeGuard(bytes) {
      const next = openSync(`${guardPath}.next`, 'w')
      writeSync(next, bytes)
      fdatasyncSync(next)
      closeSync(next)
      renameSync(`${guardPath}.next`, guardPath)
      fsyncSync(folder)
    },
    close() {
      closeSync(wal)
      closeSync(folder)
    },
  }
}
