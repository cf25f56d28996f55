/**
 * Hardforks: sets of rules with a name, each in force from a time that the genesis file says. The first is in force from time 0.
 * Spec: docs/spec/block.md#hardforks
 */
import { TX_TYPE } from './params.ts'

/** What a fork rules. A later one is a new value with a new name; one that was in force is never changed. */
export type ForkRules = {
  readonly name: string
  /** The EVM's rules, by the name of Ethereum's fork. */
  readonly evm: 'osaka'
  /** First bytes of the native types, and types of operations, that there are. */
  readonly nativeTypes: readonly number[]
}

/** A fork, and the first second of its rule. */
export type Fork = { readonly rules: ForkRules; readonly timestampSec: number }

/** The rules that the network begins with. */
export const HEADWATER: ForkRules = {
  name: 'headwater',
  evm: 'osaka',
  nativeTypes: Object.values(TX_TYPE).filter((byte) => byte !== TX_TYPE.deposit),
}

/** Every fork that this node knows, in order. */
const KNOWN: readonly ForkRules[] = [HEADWATER]

/** The schedule of a network that has had no fork. */
export const FIRST_FORK: readonly Fork[] = [{ rules: HEADWATER, timestampSec: 0 }]

/** The rules of a block at this time. The schedule ascends and its first fork is in force from time 0 (`readForks`). */
export function activeFork(forks: readonly Fork[], timestampSec: bigint): ForkRules {
  let active = HEADWATER
  for (const { rules, timestampSec: from } of forks) if (BigInt(from) <= timestampSec) active = rules
  return active
}

/** The schedule by names, as it stands in a genesis file. */
export function forksToJson(forks: readonly Fork[]): Readonly<Record<string, number>> {
  return Object.fromEntries(forks.map(({ rules, timestampSec }) => [rules.name, timestampSec]))
}

/**
 * Reads a schedule: names in the order of the forks from the first one on, each with a time not before the one before it, the first with 0. Otherwise
 * what was expected; a name that is not known means that the network goes on by rules that this node does not have.
 */
export function readForks(
  json: Readonly<Record<string, unknown>>,
): { readonly ok: true; readonly forks: readonly Fork[] } | { readonly ok: false; readonly name: string; readonly expected: string } {
  const forks: Fork[] = []
  for (const [i, [name, time]] of Object.entries(json).entries()) {
    const rules = KNOWN[i]
    if (rules?.name !== name) {
      const isKnown = KNOWN.some((one) => one.name === name)
      return { ok: false, name, expected: isKnown ? 'in its place' : 'a fork that this node knows: a newer version may' }
    }
    const least = forks.at(-1)?.timestampSec ?? 0
    if (typeof time !== 'number' || !Number.isSafeInteger(time) || time < least || (i === 0 && time !== 0))
      return { ok: false, name, expected: i === 0 ? '0' : `a time in seconds, not before ${least}` }
    forks.push({ rules, timestampSec: time })
  }
  return forks.length > 0 ? { ok: true, forks } : { ok: false, name: HEADWATER.name, expected: '0' }
}
