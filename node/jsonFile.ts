/** JSON files that a node keeps beside its store: read with care, for people edit them, disks damage them, and other versions wrote them. */
import { existsSync, readFileSync } from 'node:fs'
import { parseMembers } from './signerWire.ts'

/** A file of the data folder does not hold what it must. The message names it; whoever runs the node has to look at it. */
export class DataFileError extends Error {
  override readonly name = 'DataFileError'
  readonly retryable = false
}

/** The value that `read` makes of the members of the object in a file; undefined: there is no file. Throws DataFileError if `read` answers undefined. */
export function readJsonFile<T>(
  path: string,
  expected: string,
  read: (members: Readonly<Record<string, unknown>>) => T | undefined,
): T | undefined {
  if (!existsSync(path)) return undefined
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new DataFileError(`${path} cannot be read`, { cause })
  }
  const members = parseMembers(text)
  const value = members && read(members)
  if (value === undefined) throw new DataFileError(`${path} must hold ${expected}: mend it, or remove it if it may be made anew`)
  return value
}
