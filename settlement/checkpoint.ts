/** Checkpoints: the rollup's state after a posted batch, as the checkpoint manager keeps it. Spec: docs/spec/batch.md#checkpoints */
import { bytesToHex, encodeAbiParameters, encodeFunctionData, type Hex, hexToBytes, parseAbiParameters } from 'viem'
import { keccak256 } from '../execution/keccak.ts'
import { checkpointManagerAbi } from './abi.ts'

export type Checkpoint = {
  readonly lastBlock: bigint
  readonly blockHash: Hex
  readonly evmRoot: Hex
  readonly ledgerRoot: Hex
  /** The batch that ends with `lastBlock`, and the inbox's accumulator after it. */
  readonly batchIndex: bigint
  readonly batchAccumulator: Hex
  /** Deposits of the portal that the rollup has executed. */
  readonly depositCursor: bigint
  readonly nextValidatorSetHash: Hex
}

const checkpointParameters = parseAbiParameters([
  'Checkpoint checkpoint',
  'struct Checkpoint { uint64 lastBlock; bytes32 blockHash; bytes32 evmRoot; bytes32 ledgerRoot; uint64 batchIndex; bytes32 batchAccumulator; uint64 depositCursor; bytes32 nextValidatorSetHash; }',
])

/** What the checkpoint manager stores of a checkpoint. */
export function checkpointHash(checkpoint: Checkpoint): Hex {
  return bytesToHex(keccak256(hexToBytes(encodeAbiParameters(checkpointParameters, [checkpoint]))))
}

/** Call data that submits a checkpoint. */
export function encodeSubmit(checkpoint: Checkpoint): Hex {
  return encodeFunctionData({ abi: checkpointManagerAbi, functionName: 'submit', args: [checkpoint] })
}
