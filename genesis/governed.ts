/**
 * The parameters that a vote may change, and how far: each has a least and a largest value that no vote can cross, and most have a largest step.
 * The order of the list is the order of the values in the ledger's params record: a new parameter goes to the end.
 * Spec: docs/spec/ledger.md#parameters
 */
import { type ChainParams, OPEN_WEI } from './params.ts'

/** A governable parameter. Bounds include both ends; a step is a factor, up or down, that one change may not exceed. */
export type Governed = {
  readonly name: keyof ChainParams
  /** Whether `ChainParams` holds it as a number or as a bigint. */
  readonly kind: 'integer' | 'big'
  readonly least: bigint
  readonly most: bigint
  readonly stepFactor?: bigint
}

const DAY_SEC = 86_400n

/** Every governable parameter, in the order of the params record. */
export const GOVERNED = [
  { name: 'blockGasLimit', kind: 'big', least: 16_000_000n, most: 30_000_000_000n, stepFactor: 2n },
  { name: 'minBaseFeeWei', kind: 'big', least: 0n, most: 1_000_000_000_000n, stepFactor: 8n },
  { name: 'l1BaseFeeScalar', kind: 'big', least: 0n, most: 1_000_000_000_000n, stepFactor: 8n },
  { name: 'l1BlobBaseFeeScalar', kind: 'big', least: 0n, most: 1_000_000_000_000n, stepFactor: 8n },
  { name: 'minBlockIntervalMs', kind: 'integer', least: 1n, most: 60_000n, stepFactor: 8n },
  { name: 'maxBlockIntervalMs', kind: 'integer', least: 1n, most: 600_000n, stepFactor: 8n },
  { name: 'vestingSec', kind: 'integer', least: 1n, most: 90n * DAY_SEC, stepFactor: 4n },
  { name: 'prepaidDelaySec', kind: 'integer', least: 1n, most: 30n * DAY_SEC, stepFactor: 4n },
  { name: 'unbondingSec', kind: 'integer', least: 1n, most: 180n * DAY_SEC, stepFactor: 4n },
  { name: 'reviewDelaySec', kind: 'integer', least: 1n, most: 90n * DAY_SEC, stepFactor: 4n },
  { name: 'workerStakeMinWei', kind: 'big', least: 1n, most: 10_000_000n * OPEN_WEI, stepFactor: 4n },
  { name: 'protocolBps', kind: 'integer', least: 0n, most: 2_000n },
  { name: 'disputeBondWei', kind: 'big', least: 1n, most: 1_000_000n * OPEN_WEI, stepFactor: 4n },
  { name: 'slashEquivocationBps', kind: 'integer', least: 1_000n, most: 10_000n },
  { name: 'slashBadLeafBps', kind: 'integer', least: 100n, most: 10_000n },
  { name: 'slashWrongSumBps', kind: 'integer', least: 100n, most: 10_000n },
  { name: 'slashAttributionBps', kind: 'integer', least: 100n, most: 10_000n },
  { name: 'challengerBps', kind: 'integer', least: 1_000n, most: 9_000n },
] as const satisfies readonly Governed[]

/** Name of a governable parameter. */
export type GovernedName = (typeof GOVERNED)[number]['name']

/** What is wrong with a set of parameters. */
export type BadParams = { readonly name: keyof ChainParams; readonly expected: string }

/** The first bound that the parameters cross, each by itself and then together; undefined if none. */
export function checkGoverned(params: ChainParams): BadParams | undefined {
  const outside = GOVERNED.find(({ name, least, most }) => BigInt(params[name]) < least || BigInt(params[name]) > most)
  if (outside) return { name: outside.name, expected: `from ${outside.least} to ${outside.most}` }
  if (params.maxBlockIntervalMs < params.minBlockIntervalMs) return { name: 'maxBlockIntervalMs', expected: 'at least minBlockIntervalMs' }
  // Whoever credits and unbonds in one block must still be there when the last of the credit's epoch can be disputed.
  if (params.unbondingSec < params.epochSec + params.vestingSec) {
    return { name: 'unbondingSec', expected: 'at least epochSec + vestingSec, so that stake outlasts the dispute window' }
  }
  return undefined
}
