/**
 * What a key said of checkpoints, on disk (consensus/checkpointGuard.ts): beside the key, with the node or with its signer. Records are appended; what is not
 * remembered any more goes when the file is opened.
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
import {
  CHECKPOINT_RECORD_BYTES,
  type CheckpointGuard,
  type CheckpointState,
  checkCheckpoint,
  decodeCheckpointGuard,
  encodeSignedState,
  type SignedState,
} from '../consensus/checkpointGuard.ts'
import { KeyError } from './keys.ts'

export type CheckpointGuardFile = {
  /**
   * May a checkpoint with this state be signed? On yes it is remembered, on disk when this returns. Any error of the disk is thrown, and then nothing more may
   * be signed.
   */
  check(state: CheckpointState): { readonly ok: true } | { readonly ok: false; readonly code: 'otherState' | 'forgottenBlock' }
  close(): void
}

/** Opens or makes `checkpoints` in a folder that this process has for itself. Throws KeyError if it is damaged. */
export function openCheckpointGuardFile(directory: string): CheckpointGuardFile {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, 'checkpoints')
  const bytes = existsSync(path) ? new Uint8Array(readFileSync(path)) : new Uint8Array()
  const decoded = decodeCheckpointGuard(bytes)
  if (!decoded) throw new KeyError(`${path} is damaged: what this key has said of checkpoints is not known, and it signs none`)
  let { guard } = decoded
  if (!existsSync(path) || decoded.goodBytes > guard.length * CHECKPOINT_RECORD_BYTES) writeWhole(directory, guard)
  const file = openSync(path, 'r+')
  let size = guard.length * CHECKPOINT_RECORD_BYTES
  ftruncateSync(file, size)

  function append(added: SignedState): void {
    const record = encodeSignedState(added)
    writeSync(file, record, 0, record.length, size)
    fdatasyncSync(file)
    size += record.length
  }

  return {
    check(state) {
      const verdict = checkCheckpoint(guard, state)
      if (!verdict.ok) return verdict
      if (verdict.added) append(verdict.added)
      guard = verdict.guard
      return { ok: true }
    },
    close: () => closeSync(file),
  }
}

/** The whole file or none, on disk when this returns. */
function writeWhole(directory: string, guard: CheckpointGuard): void {
  const draft = join(directory, 'checkpoints.draft')
  const file = openSync(draft, 'w', 0o600)
  for (const signed of guard) writeSync(file, encodeSignedState(signed))
  fsyncSync(file)
  closeSync(file)
  renameSync(draft, join(directory, 'checkpoints'))
  const folder = openSync(directory, 'r')
  fsyncSync(folder)
  closeSync(folder)
}
