/** Deploys the execution of groups to an L1: a verifier for each native type, and what calls them. Spec: docs/spec/fraud.md#execution */
import { type Account, type Chain, type Client, encodeDeployData, type Hex, type Transport, zeroAddress } from 'viem'
import { sendTransaction, waitForTransactionReceipt } from 'viem/actions'
import { claimStepAbi, creditStepAbi, groupExecutionAbi, paramStepAbi, validatorStepAbi } from '../settlement/abi.ts'
import {
  claimStepBytecode,
  creditStepBytecode,
  datanetStepBytecode,
  groupExecutionBytecode,
  modelStepBytecode,
  paramStepBytecode,
  transferStepBytecode,
  validatorStepBytecode,
  workerStepBytecode,
} from './artifacts.ts'
import { DeployError } from './deploy.ts'

/** What a network fixes for good, of what rules ask for. */
export type TwinParams = { readonly chainId: number; readonly epochSec: number; readonly epochBlocks: number }

type Deployer = Client<Transport, Chain, Account>

/** Addresses of the verifiers; zero: the type cannot be proven. */
export type StepVerifiers = Readonly<
  Record<'transfer' | 'datanets' | 'models' | 'workers' | 'credits' | 'disputes' | 'claim' | 'params' | 'validators', Hex>
>

/** Deploys the verifiers. Throws viem's errors, and `DeployError`. */
export async function deployStepVerifiers(client: Deployer, { chainId, epochSec, epochBlocks }: TwinParams): Promise<StepVerifiers> {
  const chain = BigInt(chainId)
  const epoch = BigInt(epochSec)
  return {
    transfer: await create(client, transferStepBytecode),
    datanets: await create(client, datanetStepBytecode),
    models: await create(client, modelStepBytecode),
    workers: await create(client, workerStepBytecode),
    credits: await create(client, encodeDeployData({ abi: creditStepAbi, bytecode: creditStepBytecode, args: [chain, epoch] })),
    disputes: zeroAddress,
    claim: await create(client, encodeDeployData({ abi: claimStepAbi, bytecode: claimStepBytecode, args: [epoch] })),
    validators: await create(
      client,
      encodeDeployData({ abi: validatorStepAbi, bytecode: validatorStepBytecode, args: [BigInt(epochBlocks)] }),
    ),
    params: await create(client, encodeDeployData({ abi: paramStepAbi, bytecode: paramStepBytecode, args: [epoch] })),
  }
}

/** Deploys the verifiers and the execution of groups over them; `bytecode`: of a contract with the same constructor in its place. Throws as above. */
export async function deployGroupExecution(client: Deployer, params: TwinParams, bytecode: Hex = groupExecutionBytecode): Promise<Hex> {
  const verifiers = await deployStepVerifiers(client, params)
  return create(client, encodeDeployData({ abi: groupExecutionAbi, bytecode, args: [BigInt(params.chainId), verifiers] }))
}

async function create(client: Deployer, data: Hex): Promise<Hex> {
  const hash = await sendTransaction(client, { data })
  const { status, contractAddress } = await waitForTransactionReceipt(client, { hash, timeout: 180_000 })
  if (status !== 'success' || !contractAddress) throw new DeployError(`transaction ${hash} failed`)
  return contractAddress.toLowerCase() as Hex
}
