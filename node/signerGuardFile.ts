/**
 * The guard of a signer on disk (consensus/signerGuard.ts), for one process at a time: the folder's lock is held by the operating system, and goes with
 * the process however it ends.
 */
import { closeSync, existsSync, fdatasyncSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Level } from 'level'
import { decodeSignerGuard, encodeSignerGuard, type SignerGuard } from '../consensus/signerGuard.ts'
import { KeyError } from './keys.ts'

export type SignerGuardFile = {
  /** What was signed last; undefined: nothing by this folder's key. */
  read(): SignerGuard | undefined
  /** The guard is on disk when this returns. Any error of the disk is thrown, and then nothing more may be signed. */
  write(guard: SignerGuard): void
  close(): Promise<void>
}

/**
 * Opens or makes `guard` in a folder. `initial` is what a new one begins with. Throws KeyError if another process has it, if it is damaged, or if
 * `initial` is given and there is one.
 */
export async function openSignerGuardFile(directory: string, initial?: SignerGuard): Promise<SignerGuardFile> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const lock = new Level(join(directory, 'lock')) // used for its lock alone: Node has no other that dies with the process
  await lock.open().catch((cause: unknown) => {
    throw new KeyError(`another process signs with the guard in ${directory}`, { cause })
  })
  try {
    const path = join(directory, 'guard')
    if (initial && existsSync(path)) throw new KeyError(`${path} is there already: what it holds counts`)
    if (initial) createFile(path, encodeSignerGuard(initial))
    const bytes = existsSync(path) ? new Uint8Array(readFileSync(path)) : undefined
    let guard = bytes && decodeSignerGuard(bytes)
    if (bytes && !guard) throw new KeyError(`${path} is damaged: what this key has signed is not known, and it signs nothing more`)
    let file = bytes && openSync(path, 'r+')
    return {
      read: () => guard,
      write(next) {
        const encoded = encodeSignerGuard(next)
        if (file === undefined) {
          createFile(path, encoded)
          file = openSync(path, 'r+')
        } else {
          // In place: it is smaller than a disk's sector, which is written whole or not at all, and its checksum tells if one was not.
          writeSync(file, encoded, 0, encoded.length, 0)
          fdatasyncSync(file)
        }
        guard = next
      },
      async close() {
        if (file !== undefined) closeSync(file)
        await lock.close()
      },
    }
  } catch (error) {
    await lock.close()
    throw error
  }
}

/** The whole file or none, on disk when this returns. */
function createFile(path: string, bytes: Uint8Array): void {
  const draft = `${path}.draft`
  const descriptor = openSync(draft, 'w', 0o600)
  writeSync(descriptor, bytes)
  fsyncSync(descriptor)
  closeSync(descriptor)
  renameSync(draft, path)
  const folder = openSync(join(path, '..'), 'r')
  fsyncSync(folder)
  closeSync(folder)
}
