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
  /** Cuts the log to this length, which is not above what it has. A short one is overwritten with zeros instead, which are no frame either. */
  truncate(length: number): void
  readGuard(): Uint8Array | undefined
  /** Replaces the guard by one of the same length; it is on disk when this returns, and at once if it is there already. */
  writeGuard(bytes: Uint8Array): void
  close(): void
}

/** The disk did not take, or not give, what consensus needs to remember. Nothing more is written or signed: what did not reach the disk was not said. */
export class JournalError extends Error {
  override readonly name = 'JournalError'
  readonly retryable = false
}

/** What is done with files that are open; another one for tests. */
export type Disk = Pick<typeof import('node:fs'), 'writeSync' | 'fdatasyncSync' | 'ftruncateSync'>

/**
 * What a disk writes as one. A log that is no longer is emptied in place: the file system notes nothing, which costs a third of a new length. A longer one
 * could be found with one page of before and one of after.
 */
const PAGE_BYTES = 4_096
const ZEROS = new Uint8Array(PAGE_BYTES)

/** Opens or makes the files in a directory. An error of the disk is thrown as a JournalError, and from then on by every call: who cannot log must not vote. */
export function openJournal(directory: string, disk: Disk = { writeSync, fdatasyncSync, ftruncateSync }): Journal {
  const walPath = join(directory, 'wal')
  const guardPath = join(directory, 'guard')
  const onDisk = createDiskCalls(directory)
  const opened = onDisk(() => {
    mkdirSync(directory, { recursive: true })
    const found = existsSync(walPath) ? new Uint8Array(readFileSync(walPath)) : new Uint8Array()
    const wal = openSync(walPath, existsSync(walPath) ? 'r+' : 'w+')
    // In place: a guard is smaller than a disk's sector, which is written whole or not at all, and its checksum tells if one was not.
    const guard: Uint8Array | undefined = existsSync(guardPath) ? new Uint8Array(readFileSync(guardPath)) : undefined
    const guardFile = openSync(guardPath, guard ? 'r+' : 'w+')
    const folder = openSync(directory, 'r')
    fsyncSync(folder)
    closeSync(folder)
    return { found, wal, guard, guardFile }
  })
  const { found, wal, guardFile } = opened
  let { guard } = opened
  let length = found.length
  let synced = true

  /** All of it: a disk that is nearly full takes a part. */
  function write(file: number, bytes: Uint8Array, to: number): void {
    let written = 0
    while (written < bytes.length) written += disk.writeSync(file, bytes, written, bytes.length - written, to + written) // ends: it writes or throws
  }

  return {
    found,
    append(bytes) {
      onDisk(() => write(wal, bytes, length))
      length += bytes.length
      synced = false
    },
    sync() {
      if (synced) return
      onDisk(() => disk.fdatasyncSync(wal))
      synced = true
    },
    truncate(to) {
      onDisk(() => (length <= PAGE_BYTES ? write(wal, ZEROS.subarray(to, length), to) : disk.ftruncateSync(wal, to)))
      length = to
      synced = false
    },
    readGuard: () => (guard && guard.length > 0 ? guard : undefined),
    writeGuard(bytes) {
      if (guard && Buffer.compare(guard, bytes) === 0) return
      onDisk(() => {
        write(guardFile, bytes, 0)
        disk.fdatasyncSync(guardFile)
      })
      guard = bytes
    },
    close() {
      closeSync(wal)
      closeSync(guardFile)
    },
  }
}

/** Does what a disk may refuse. After the first failure nothing is tried any more: a later success would hide that something is missing. */
function createDiskCalls(directory: string): <T>(work: () => T) => T {
  let failure: JournalError | undefined
  return (work) => {
    if (failure) throw failure
    try {
      return work()
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
      const what = CAUSES[code] ?? `the disk fails (${code})`
      failure = new JournalError(
        `${what} in ${directory}: this validator signs nothing more until that is mended and it is started again`,
        { cause },
      )
      throw failure
    }
  }
}

const CAUSES: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the disk (ENOSPC)',
  EDQUOT: 'the quota of the disk is used up (EDQUOT)',
  EROFS: 'the disk may only be read (EROFS)',
  EACCES: 'the files may not be written (EACCES)',
  EIO: 'the disk is damaged (EIO)',
}
