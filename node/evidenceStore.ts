/**
 * Evidence that this node found, on disk: one file for each validator and epoch, `EPOCH-VALIDATOR` with what became of it on L1 behind
 * the dot. Bytes: consensus/evidence.ts. Spec: docs/spec/consensus.md#evidence
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { decodeEvidence, type Evidence, encodeEvidence } from '../consensus/evidence.ts'

/** Files that are kept: 285 bytes each. Beyond that an operator has to look. */
const FILES_MAX = 1_024

const FILE_PATTERN = /^(\d{1,10}-\d{1,3})\.(open|taken|refused)$/

export type KeptEvidence = { readonly id: string; readonly evidence: Evidence }

export type EvidenceStore = {
  /**
   * Keeps it, on disk when this returns. False: something of this validator and epoch is kept already, which is all that L1 takes, or there is no room.
   */
  add(evidence: Evidence, epoch: number): boolean
  /** What L1 has not judged yet, in no order that means anything. */
  open(): readonly KeptEvidence[]
  /** L1 took it, or will never: it is kept, and not brought again. */
  settle(id: string, end: 'taken' | 'refused'): void
  /** What blocks may have to be told, whatever became of it on L1; in no order that means anything. */
  unreported(): readonly KeptEvidence[]
  /** Blocks need not be told, as far as this process knows. */
  dismiss(id: string): void
}

/** Opens or makes the folder. Files that are no evidence are left alone, and are told to `onDamaged`. */
export function openEvidenceStore(directory: string, { onDamaged }: { onDamaged(file: string): void }): EvidenceStore {
  mkdirSync(directory, { recursive: true })
  const known = new Set<string>()
  const open = new Map<string, Evidence>()
  const unreported = new Map<string, Evidence>()
  for (const name of readdirSync(directory)) {
    const [, id, state] = FILE_PATTERN.exec(name) ?? []
    if (id === undefined) continue
    known.add(id)
    const decoded = decodeEvidence(new Uint8Array(readFileSync(join(directory, name))))
    if (!decoded.ok) {
      onDamaged(join(directory, name))
      continue
    }
    unreported.set(id, decoded.value)
    if (state === 'open') open.set(id, decoded.value)
  }
  return {
    add(evidence, epoch) {
      const id = `${epoch}-${evidence.validator}`
      if (known.has(id) || known.size >= FILES_MAX) return false
      writeWhole(directory, `${id}.open`, encodeEvidence(evidence))
      known.add(id)
      open.set(id, evidence)
      unreported.set(id, evidence)
      return true
    },
    open: () => [...open].map(([id, evidence]) => ({ id, evidence })),
    unreported: () => [...unreported].map(([id, evidence]) => ({ id, evidence })),
    dismiss: (id) => {
      unreported.delete(id)
    },
    settle(id, end) {
      open.delete(id)
      const file = join(directory, `${id}.open`)
      if (existsSync(file)) renameSync(file, join(directory, `${id}.${end}`))
    },
  }
}

/** The whole file or none, on disk when this returns. */
function writeWhole(directory: string, name: string, bytes: Uint8Array): void {
  const draft = join(directory, `${name}.draft`)
  const file = openSync(draft, 'w')
  writeSync(file, bytes)
  fsyncSync(file)
  closeSync(file)
  renameSync(draft, join(directory, name))
  const folder = openSync(directory, 'r')
  fsyncSync(folder)
  closeSync(folder)
}
