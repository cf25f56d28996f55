/** A registry of validators on an anvil, with a first set and nothing around it; and every form of a certificate or of evidence that a test changes. */
import { encodeFunctionData, type Hex, toHex, zeroAddress } from 'viem'
import { uncompressedSignature } from '../../consensus/bls.ts'
import { encodeSet, type ValidatorSet } from '../../consensus/validatorSet.ts'
import { validatorRegistryBytecode } from '../../contracts/artifacts.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { validatorRegistryAbi } from '../../settlement/abi.ts'
import { type BlockCommit, type OffenceEvidence, toL1Commit, toL1Evidence } from '../../settlement/registry.ts'
import { CHAIN_ID } from '../consensus/fixtures.ts'
import { mined, refusal, type StageClient } from '../fakes/l1Stage.ts'

/** A registry and what it says of what it is given: `ok`, or the name of the error that it reverts with. */
export type RegistryAlone = {
  readonly address: Hex
  /** Gas that the first set took, without the registry itself. */
  readonly openGas: bigint
  checkCommit(commit: BlockCommit): Promise<string>
  checkEvidence(evidence: OffenceEvidence): Promise<string>
  /** Gas of a transaction that checks the commit and does nothing else. */
  commitGas(commit: BlockCommit): Promise<bigint>
  evidenceGas(evidence: OffenceEvidence): Promise<bigint>
}

/** Deploys a registry whose first set this is. The portal is nobody's. */
export async function deployRegistryAlone(client: StageClient, set: ValidatorSet, epochBlocks = 0): Promise<RegistryAlone> {
  const config = {
    token: zeroAddress,
    portal: zeroAddress,
    checkpointManager: zeroAddress,
    chainId: BigInt(CHAIN_ID),
    epochBlocks: BigInt(epochBlocks),
    stakeMin: OPEN_WEI,
    evidenceAgeSec: 60n,
    unbondingSec: 200n,
    challengeWindowSec: 60n,
  }
  const abi = validatorRegistryAbi
  const args = [client.account.address, config] as const
  const { contractAddress } = await mined(client, await client.deployContract({ abi, bytecode: validatorRegistryBytecode, args }))
  if (!contractAddress) throw new Error('no contract was made')
  const registry = { address: contractAddress, abi } as const
  const opened = await mined(
    client,
    await client.writeContract({ ...registry, functionName: 'openFirstSet', args: [toHex(encodeSet(set))] }),
  )
  const answer = async (call: Promise<unknown>) => String((await refusal(call))?.[0] ?? 'ok')
  return {
    address: contractAddress,
    openGas: opened.gasUsed,
    async checkCommit(commit) {
      const args = toL1Commit(commit, (signature) => uncompressedSignature(signature) ?? NO_POINT)
      if (!args) throw new Error('there is always a form')
      return answer(client.readContract({ ...registry, functionName: 'checkCommit', args: [args] }))
    },
    async checkEvidence(evidence) {
      const args = toL1Evidence(evidence, (signature) => uncompressedSignature(signature) ?? NO_POINT)
      if (!args) throw new Error('there is always a form')
      return answer(client.readContract({ ...registry, functionName: 'checkEvidence', args: [args] }))
    },
    async commitGas(commit) {
      const args = toL1Commit(commit, uncompressedSignature)
      if (!args) throw new Error('the signature is no point')
      return gasOf(client, { ...registry, functionName: 'checkCommit', args: [args] })
    },
    async evidenceGas(evidence) {
      const args = toL1Evidence(evidence, uncompressedSignature)
      if (!args) throw new Error('a signature is no point')
      return gasOf(client, { ...registry, functionName: 'checkEvidence', args: [args] })
    },
  }
}

/** What goes to L1 for a signature that is no point, and has no other form: coordinates that are none. */
const NO_POINT = new Uint8Array(192).fill(0x3f)

type Call = Parameters<typeof encodeFunctionData>[0] & { readonly address: Hex }

/** Gas of the call as a transaction of its own. */
async function gasOf(client: StageClient, { address, ...call }: Call): Promise<bigint> {
  const { gasUsed } = await mined(client, await client.sendTransaction({ to: address, data: encodeFunctionData(call) }))
  return gasUsed
}
