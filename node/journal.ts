/**
 * The validator's two files beside the store: the write-ahead log of the open height, and the guard of its key. Both are on disk before anything
 * they speak of leaves the process. Bytes: consensus/wal.ts, consensus/guard.ts.
 */
import { closeSync, existsSync, fdatasyncSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
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
  /** Replaces the guard by one of the same length; it is on disk when this returns, and at once if it is there already. */
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
  // In place: a guard is smaller than a disk's sector, which is written whole or not at all, and its checksum tells if one was not.
  let guard: Uint8Array | undefined = existsSync(guardPath) ? new Uint8Array(readFileSync(guardPath)) : undefined
  const guardFile = openSync(guardPath, guard ? 'r+' : 'w+')
  const folder = openSync(directory, 'r')
  fsyncSync(folder)
  closeSync(folder)
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
    readGuard: () => (guard && guard.length > 0 ? guard : undefined),
    writeGuard(bytes) {
      if (guard && Buffer.compare(guard, bytes) === 0) return
      writeSync(guardFile, bytes, 0, bytes.length, 0)
      fdatasyncSync(guardFile)
      guard = bytes
    },
    close() {
      closeSync(wal)
      closeSync(guardFile)
    },
  }
}
