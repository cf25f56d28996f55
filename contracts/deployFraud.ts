/**
 * What judges batches on L1, as transactions that make it: who reads rows, a verifier for each native type, what calls them, and the court above.
 * Spec: docs/spec/fraud.md
 */
import { encodeDeployData, type Hex } from 'viem'
import {
  claimStepAbi,
  creditStepAbi,
  disputeStepAbi,
  fraudVerifierAbi,
  groupExecutionAbi,
  paramStepAbi,
  validatorStepAbi,
} from '../settlement/abi.ts'
import {
  claimStepBytecode,
  creditStepBytecode,
  datanetStepBytecode,
  disputeStepBytecode,
  fraudVerifierBytecode,
  groupExecutionBytecode,
  modelStepBytecode,
  notesBytecode,
  paramStepBytecode,
  rowReaderBytecode,
  transferStepBytecode,
  validatorStepBytecode,
  workerStepBytecode,
} from './artifacts.ts'

/** What a network fixes for good, of what rules ask for. */
export type TwinParams = { readonly chainId: number; readonly epochSec: number; readonly epochBlocks: number }

/** The creation of a contract. `gas` is a bound that holds whatever stands by then: it cannot be estimated while others are on their way. */
export type Creation = { readonly data: Hex; readonly gas: bigint }

/** Of a transaction that creates a contract, without its bytes: EIP-2 and EIP-2028. */
const CREATE_GAS = 53_000n
/** Of a byte: 200 to keep it, 16 as call data, 2 a word as code of a creation (EIP-3860). */
const CREATE_GAS_PER_BYTE = 217n
/** For what a constructor does. */
const CONSTRUCT_GAS = 200_000n

/**
 * The verifiers and the execution of groups over them, which is the last one; `at` is the address of the creation of that place.
 * `bytecode`: of a contract with the same constructor in place of the execution's.
 */
export function groupExecutionCreations(
  { chainId, epochSec, epochBlocks }: TwinParams,
  at: (place: number) => Hex,
  bytecode: Hex = groupExecutionBytecode,
): Creation[] {
  const [chain, epoch, blocks] = [BigInt(chainId), BigInt(epochSec), BigInt(epochBlocks)]
  const steps = {
    rows: rowReaderBytecode,
    transfer: transferStepBytecode,
    datanets: datanetStepBytecode,
    models: modelStepBytecode,
    workers: workerStepBytecode,
    credits: encodeDeployData({ abi: creditStepAbi, bytecode: creditStepBytecode, args: [chain, epoch] }),
    disputes: encodeDeployData({ abi: disputeStepAbi, bytecode: disputeStepBytecode, args: [epoch] }),
    claim: encodeDeployData({ abi: claimStepAbi, bytecode: claimStepBytecode, args: [epoch] }),
    params: encodeDeployData({ abi: paramStepAbi, bytecode: paramStepBytecode, args: [epoch] }),
    validators: encodeDeployData({ abi: validatorStepAbi, bytecode: validatorStepBytecode, args: [blocks] }),
  }
  const addresses = Object.fromEntries(Object.keys(steps).map((name, place) => [name, at(place)])) as Record<keyof typeof steps, Hex>
  const execution = encodeDeployData({ abi: groupExecutionAbi, bytecode, args: [chain, addresses] })
  return [...Object.values(steps), execution].map(creation)
}

/** The same, the notes, and the court, which is the last one and may make checkpoints of the manager fall. */
export function courtCreations(params: TwinParams & { readonly checkpointManager: Hex }, at: (place: number) => Hex): Creation[] {
  const execution = groupExecutionCreations(params, at)
  const args = [params.checkpointManager, at(execution.length - 1), at(execution.length)] as const
  return [
    ...execution,
    creation(notesBytecode),
    creation(encodeDeployData({ abi: fraudVerifierAbi, bytecode: fraudVerifierBytecode, args })),
  ]
}

function creation(data: Hex): Creation {
  return { data, gas: CREATE_GAS + CONSTRUCT_GAS + (CREATE_GAS_PER_BYTE * BigInt(data.length - 2)) / 2n }
}
