/**
 * Blobs that this node has posted or read, a file each: L1 forgets them after some 18 days, and a chain is rebuilt from them for as long as it lives. As many
 * as fit are kept, the latest. A file is sha256 of the blob ‖ blob, so that a damaged one is none.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Hex } from 'viem'
import { BLOB_BYTES } from '../settlement/blob.ts'
import type { BlobArchive } from '../settlement/l1.ts'

/** Of one node, unless it is told otherwise: 1 GiB. */
const BLOBS_KEPT_MAX = 8_192
const DIGEST_BYTES = 32
const NAME = /^0x01[0-9a-f]{62}$/

/** The archive in a folder, which is made if there is none. */
export function openBlobArchive(directory: string, { blobsMax = BLOBS_KEPT_MAX }: { readonly blobsMax?: number } = {}): BlobArchive {
  mkdirSync(directory, { recursive: true })
  /** Oldest first. */
  const kept = new Set(
    readdirSync(directory)
      .filter((name) => NAME.test(name))
      .map((name) => ({ name, writtenMs: statSync(join(directory, name)).mtimeMs }))
      .sort((a, b) => a.writtenMs - b.writtenMs)
      .map(({ name }) => name),
  )

  async function readOne(hash: Hex): Promise<Uint8Array | undefined> {
    if (!kept.has(hash)) return undefined
    const bytes = await readFile(join(directory, hash)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined // somebody removed it
      throw error
    })
    const blob = bytes && new Uint8Array(bytes.subarray(DIGEST_BYTES))
    return blob?.length === BLOB_BYTES && digestOf(blob).equals(bytes?.subarray(0, DIGEST_BYTES) ?? blob) ? blob : undefined
  }

  return {
    async read(versionedHashes) {
      const blobs: Uint8Array[] = []
      for (const hash of versionedHashes) {
        const blob = await readOne(hash)
        if (!blob) return undefined
        blobs.push(blob)
      }
      return blobs
    },
    async keep(versionedHashes, blobs) {
      for (const [i, hash] of versionedHashes.entries()) {
        const blob = blobs[i]
        if (!blob) continue
        // Whole or not at all: a process may be killed in between.
        const path = join(directory, hash)
        await writeFile(`${path}.new`, Buffer.concat([digestOf(blob), blob]))
        await rename(`${path}.new`, path)
        kept.delete(hash)
        kept.add(hash)
      }
      for (const oldest of kept) {
        if (kept.size <= blobsMax) break
        kept.delete(oldest)
        await rm(join(directory, oldest), { force: true })
      }
    },
  }
}

function digestOf(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
