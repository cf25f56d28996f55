/** Which epoch a block belongs to. Spec: docs/spec/consensus.md#epochs */
import type { ChainParams } from '../genesis/params.ts'

/** How long epochs are; 0: there is one. */
export type Epochs = Pick<ChainParams, 'epochBlocks'>

/** The epoch that a block belongs to. Block 0 belongs to the first. */
export function epochOf(blockNumber: bigint, { epochBlocks }: Epochs): number {
  return epochBlocks === 0 || blockNumber === 0n ? 0 : Number((blockNumber - 1n) / BigInt(epochBlocks))
}

/** Whether the next block belongs to another epoch. */
export function isLastOfEpoch(blockNumber: bigint, { epochBlocks }: Epochs): boolean {
  return epochBlocks > 0 && blockNumber > 0n && blockNumber % BigInt(epochBlocks) === 0n
}
