/**
 * The governable parameters as the specification says they come to be, vote by vote, worked out by itself: which call of the PARAMS door has to succeed,
 * and what rules each block. Spec: docs/spec/ledger.md#parameters, docs/spec/transactions.md#0x59-paramset
 */
import { decodeFunctionData, type Hex, hexToBytes } from 'viem'
import { paramsDoorAbi } from '../../execution/native/doorAbi.ts'
import { GOVERNED } from '../../genesis/governed.ts'
import { type ChainParams, GOVERNOR } from '../../genesis/params.ts'

export type Vote = { readonly sender: Hex; readonly data: Hex }

export type VoteBook = {
  /** Values that rule this block, by name. */
  ruling(blockNumber: bigint): ReadonlyMap<string, bigint>
  /** Why the call fails; undefined: it succeeds, and counts from the next block on. */
  take(vote: Vote, blockNumber: bigint): string | undefined
}

/** A book of the votes on a chain that begins with these parameters. */
export function createVoteBook(params: ChainParams): VoteBook {
  const { epochSec } = params
  let now = new Map<string, bigint>(GOVERNED.map(({ name }) => [name, BigInt(params[name])]))
  let before = now
  let changedAt = 0n

  const ruling = (blockNumber: bigint) => (blockNumber > changedAt ? now : before)

  function isWithin(values: ReadonlyMap<string, bigint>): boolean {
    const of = (name: string) => values.get(name) ?? 0n
    return of('maxBlockIntervalMs') >= of('minBlockIntervalMs') && of('unbondingSec') >= BigInt(epochSec) + of('vestingSec')
  }

  return {
    ruling,
    take({ sender, data }, blockNumber) {
      const { functionName, args } = decodeFunctionData({ abi: paramsDoorAbi, data })
      if (functionName !== 'setParam') throw new Error('a view is no vote')
      if (sender !== GOVERNOR) return 'notGovernor'
      const [nameBytes, value] = args
      const name = String.fromCharCode(...hexToBytes(nameBytes)).replace(/\0+$/, '')
      const bounds = GOVERNED.find((one) => one.name === name)
      const ruled = ruling(blockNumber).get(name)
      if (!bounds || ruled === undefined) return 'unknownParam'
      if (value < bounds.least || value > bounds.most) return 'outOfBounds'
      const step = 'stepFactor' in bounds && ruled > 0n ? bounds.stepFactor : undefined
      if (step && (value > ruled * step || value < ruled / step)) return 'outOfBounds'
      const next = new Map(now).set(name, value)
      if (!isWithin(next)) return 'outOfBounds'
      if (changedAt < blockNumber) before = now
      now = next
      changedAt = blockNumber
      return undefined
    },
  }
}
