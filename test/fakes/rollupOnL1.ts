/** Everything of a rollup that is on L1 before its first block: the contracts, with one set of validators for good, and the genesis file that names them. */
import { type Hex, stringToHex, toHex } from 'viem'
import { encodeSet, type ValidatorSet } from '../../consensus/validatorSet.ts'
import { deployContracts } from '../../contracts/deploy.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { keccak256 } from '../../execution/keccak.ts'
import { encodeGenesis, type Genesis } from '../../genesis/genesis.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { batchInboxAbi } from '../../settlement/abi.ts'
import { mined, type StageClient } from './l1Stage.ts'

type Deployment = Parameters<typeof deployContracts>[1]

export type RollupOptions = {
  /** What of the genesis file does not depend on L1. */
  readonly base: Genesis
  readonly set: ValidatorSet
  readonly checkpoints: Omit<Deployment['checkpoints'], 'configOwner'>
}

/** Deploys, publishes, and answers the genesis file with the accumulator before the first batch: its hash. */
export async function publishRollup(
  client: StageClient,
  { base, set, checkpoints }: RollupOptions,
): Promise<{ readonly genesis: Genesis; readonly accumulator: Hex }> {
  const { firstL1Block: _, ...addresses } = await deployContracts(client, {
    supplyHolder: client.account.address,
    checkpoints: { ...checkpoints, configOwner: client.account.address },
    registry: {
      chainId: base.params.chainId,
      epochBlocks: 0,
      firstSet: toHex(encodeSet(set)),
      stakeMinWei: OPEN_WEI,
      evidenceAgeSec: 60,
      unbondingSec: 100_000,
    },
  })
  const origin = await client.getBlock()
  const genesis: Genesis = {
    ...base,
    timestampMs: Number(origin.timestamp) * 1_000,
    validators: set.validators.map(({ address, publicKey, feeRecipient }) => ({
      address,
      blsPublicKey: publicKey,
      weight: 1,
      feeRecipient,
    })),
    l1: {
      ...base.l1,
      ...addresses,
      origin: {
        number: origin.number,
        hash: origin.hash,
        timestampSec: origin.timestamp,
        baseFeeWei: origin.baseFeePerGas ?? 0n,
        blobBaseFeeWei: 1n,
        prevRandao: origin.mixHash,
      },
    },
  }
  const text = encodeGenesis(genesis)
  const args = [stringToHex(text), createGenesisBlock(genesis).roots.ledgerRoot] as const
  await mined(client, await client.writeContract({ address: addresses.inbox, abi: batchInboxAbi, functionName: 'publishGenesis', args }))
  return { genesis, accumulator: toHex(keccak256(new TextEncoder().encode(text))) }
}
