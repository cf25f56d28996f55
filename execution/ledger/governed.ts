/**
 * Governable parameters as the ledger holds them: one record with the values now and before the latest change. A change takes effect in the block
 * after its own: within the block of a change the values before it count, so that each row says, with its block, which parameters rule it.
 * Spec: docs/spec/ledger.md#parameters
 */
import { checkGoverned, GOVERNED, type GovernedName } from '../../genesis/governed.ts'
import type { ChainParams } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import type { Ledger, LedgerReader } from './ledger.ts'
import { paramsTable } from './tables.ts'

const RECORD_ID = { item: 1 }

type Made = { readonly genesis: ChainParams; readonly bytes: Uint8Array; readonly params: ReturnType<typeof readParams> }

/** Parameters made of a record's values, by the record's bytes: a block asks for each of its calls, and the record seldom changes. */
const made = new WeakMap<Uint8Array, Made>()
/** What was made last: who reads the record from disk has the same bytes in another array each time. */
let last: Made | undefined
const idBytes = paramsTable.encodeId(RECORD_ID)

/** The parameters that rule a block: the genesis file's, with what the ledger says of the governable ones. */
export function paramsAt(genesis: ChainParams, ledger: LedgerReader, blockNumber: bigint): ChainParams {
  const bytes = ledger.get(paramsTable.number, idBytes)
  if (!bytes) return genesis
  let known = made.get(bytes)
  if (known?.genesis !== genesis) {
    known =
      last?.genesis === genesis && sameBytes(last.bytes, bytes)
        ? last
        : { genesis, bytes: bytes.slice(), params: readParams(genesis, bytes) }
    last = known
    made.set(bytes, known)
  }
  const { changedAtBlock, current, previous } = known.params
  return blockNumber > changedAtBlock ? current : previous
}

/** Writes the parameters as genesis chooses them. */
export function putGenesisParams(ledger: Ledger, params: ChainParams): void {
  const values = valuesOf(params)
  paramsTable.put(ledger, RECORD_ID, { changedAtBlock: 0n, current: values, previous: values })
}

/** What came of a change. */
export type ParamChange =
  | { readonly ok: true; readonly before: bigint }
  | { readonly ok: false; readonly code: 'outOfBounds'; readonly least: bigint; readonly most: bigint }

/** Changes one parameter from the next block on. `params` are those that rule this block; a step is measured from them. */
export function changeParam(
  ledger: Ledger,
  { params, blockNumber }: { readonly params: ChainParams; readonly blockNumber: bigint },
  { name, value }: { readonly name: GovernedName; readonly value: bigint },
): ParamChange {
  const next = withValue(paramsAt(params, ledger, blockNumber + 1n), name, value)
  const before = BigInt(params[name])
  const { least, most } = rangeOf(name, before)
  if (value < least || value > most || checkGoverned(next)) return { ok: false, code: 'outOfBounds', least, most }
  paramsTable.put(ledger, RECORD_ID, { changedAtBlock: blockNumber, current: valuesOf(next), previous: valuesOf(params) })
  return { ok: true, before }
}

/** The governable parameter of this name, or undefined. */
export function governedNamed(name: string): GovernedName | undefined {
  return GOVERNED.find((one) => one.name === name)?.name
}

/** What a parameter may become from what it is: its bounds, within one step. */
function rangeOf(name: GovernedName, before: bigint): { readonly least: bigint; readonly most: bigint } {
  const found = GOVERNED.find((one) => one.name === name)
  assert(found, 'a governable parameter has bounds')
  const { least, most } = found
  if (!('stepFactor' in found) || before === 0n) return { least, most }
  const up = before * found.stepFactor
  const down = before / found.stepFactor
  return { least: down > least ? down : least, most: up < most ? up : most }
}

function readParams(genesis: ChainParams, bytes: Uint8Array) {
  const { changedAtBlock, current, previous } = paramsTable.decode(bytes)
  return { changedAtBlock, current: withValues(genesis, current), previous: withValues(genesis, previous) }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

function valuesOf(params: ChainParams): bigint[] {
  return GOVERNED.map(({ name }) => BigInt(params[name]))
}

function withValues(params: ChainParams, values: readonly bigint[]): ChainParams {
  return GOVERNED.reduce((all: ChainParams, { name }, i) => {
    const value = values[i]
    return value === undefined ? all : withValue(all, name, value)
  }, params)
}

function withValue(params: ChainParams, name: GovernedName, value: bigint): ChainParams {
  const isBig = GOVERNED.some((one) => one.name === name && one.kind === 'big')
  return { ...params, [name]: isBig ? value : Number(value) }
}
