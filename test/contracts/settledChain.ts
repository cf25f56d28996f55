/** A rollup of real blocks whose batches stand on an anvil, with the certificates and proofs that checkpoints and the bridge are shown. */
import { bytesToHex, type Hex, hexToBytes, toHex } from 'viem'
import { aggregateSignatures, type BlsSecretKey, publicKeyOf, sign, uncompressedSignature } from '../../consensus/bls.ts'
import { buildCommit, buildSigners } from '../../consensus/certificate.ts'
import { type CheckpointDomain, checkpointDigest, type Statement, statementDigest } from '../../consensus/digest.ts'
import type { Vote } from '../../consensus/message.ts'
import { encodeSet, type ValidatorSet } from '../../consensus/validatorSet.ts'
import { encodeHeader, type Header, hashHeader } from '../../execution/block.ts'
import type { OriginStep } from '../../execution/buildBlock.ts'
import { createLedgerProof, type LedgerProof } from '../../execution/ledger/proof.ts'
import { proveRecord } from '../../execution/ledger/rootReader.ts'
import { getL1Info, L1_RECORD, l1Table } from '../../execution/ledger/tables.ts'
import { createLedgerTree, EMPTY, rootHex, treeKey } from '../../execution/ledger/tree.ts'
import { transfer } from '../../execution/native/transfer.ts'
import type { Tx } from '../../execution/tx.ts'
import { VALIDATORS_MAX } from '../../genesis/params.ts'
import { batchInboxAbi, checkpointManagerAbi, openTokenAbi } from '../../settlement/abi.ts'
import { type Checkpoint, type CheckpointClaim, checkpointHash, toL1Claim } from '../../settlement/checkpoint.ts'
import { batchAccumulator, callDataHash, encodePostBatch } from '../../settlement/inbox.ts'
import { type L1Certificate, type L1Commit, toL1Certificate, toL1Commit } from '../../settlement/registry.ts'
import { CHAIN_ID, secretKey, setOf } from '../consensus/fixtures.ts'
import type { Anvil } from '../fakes/anvil.ts'
import { deployStage, type L1Stage, mined, STAGE_CHECKPOINTS, type StageClient } from '../fakes/l1Stage.ts'
import type { LedgerRecord } from '../fakes/ledger.ts'
import { createTestChain, equalValidators, signNative, type TestChain, testAccounts } from '../fakes/testChain.ts'

/** A block that a batch on L1 ends with: what shows it, and the checkpoint that follows. */
export type Settled = {
  readonly header: Header
  readonly hash: Hex
  readonly claim: CheckpointClaim
  /** Of the checkpoint, by all validators. */
  readonly certificate: L1Certificate
  readonly checkpoint: Checkpoint
  /** Of the batch's transaction. */
  readonly gas: bigint
  /** The proof of a record against the ledger after the block. */
  prove(table: number, id: Uint8Array): LedgerProof
}

export type SettledChain = {
  readonly chain: TestChain
  /** Builds the next block of these and posts it as a batch of its own. The payload is not looked at on L1. */
  settle(txs?: readonly Tx[], options?: { readonly origin?: OriginStep }): Promise<Settled>
  /** The same with a ledger that has exactly these records and no transaction made. */
  settleLedger(records: readonly LedgerRecord[]): Promise<Settled>
  /** A withdrawal to L1 of the first test account, as a transaction for the next block. */
  withdrawal(to: Hex, amount: bigint): Promise<Tx>
}

/** An L1 with the contracts, a genesis file, a bond behind its submitter, and a rollup that settles there. */
export async function openSettled(anvil: Anvil): Promise<{ readonly l1: L1Stage; readonly rollup: SettledChain }> {
  const l1 = await deployStage(anvil)
  await l1.publishGenesis()
  await bond(l1, l1.submitter)
  return { l1, rollup: await createSettledChain(l1) }
}

/** The same of a first set of so many equal validators, with epochs of so many blocks; its chain is yet to settle. */
export async function openEpochs(
  anvil: Anvil,
  count: number,
  epochBlocks: number,
): Promise<{ readonly l1: L1Stage; readonly chain: TestChain; readonly weights: readonly number[] }> {
  const weights = Array.from({ length: count }, () => 1)
  const l1 = await deployStage(anvil, { epochBlocks, firstSet: toHex(encodeSet(setOf(weights))) })
  await l1.publishGenesis()
  await bond(l1, l1.submitter)
  const chain = await createTestChain({ params: { epochBlocks }, validators: equalValidators(count) })
  return { l1, chain, weights }
}

/** Begins with a genesis of test accounts; `weights` are those of the registry's set, unless `setAt` says whose each block is. */
export async function createSettledChain(
  l1: L1Stage,
  weights: readonly number[] = [1, 1, 1, 1],
  given: { readonly chain?: TestChain; setAt?(height: bigint): ValidatorSet } = {},
): Promise<SettledChain> {
  const chain = given.chain ?? (await createTestChain())
  const only = setOf(weights)
  let nonce = 0n

  async function post(header: Header, prove: Settled['prove']): Promise<Settled> {
    const hash = hashHeader(header)
    const set = given.setAt?.(header.number) ?? only
    const blocks = { firstBlock: header.number, lastBlock: header.number, lastBlockHash: hash }
    const batchHeader = await l1.nextHeader({ ...blocks, payloadBytes: 1 })
    const inbox = { address: l1.deployment.inbox, abi: batchInboxAbi } as const
    const index = await l1.poster.readContract({ ...inbox, functionName: 'batchCount' })
    const commit = commitOf(set, header.number, hash)
    const data = encodePostBatch(batchHeader, await l1.postingOf(batchHeader, { certificate: commit, payload: Uint8Array.of(1) }))
    const { gasUsed } = await mined(l1.poster, await l1.poster.sendTransaction({ to: inbox.address, data }))
    const batch = { index, header: batchHeader, dataHash: callDataHash(Uint8Array.of(1)) }
    const l1Record = prove(L1_RECORD.table, L1_RECORD.id)
    const checkpoint = {
      lastBlock: header.number,
      blockHash: hash,
      evmRoot: header.stateRoot,
      ledgerRoot: header.withdrawalsRoot,
      batchIndex: index,
      batchAccumulator: batchAccumulator(batch),
      depositCursor: BigInt(`0x${l1Record.record?.slice(-16)}`),
    }
    const claim = { header: encodeHeader(header), batch, l1Record }
    const certificate = certificateOf(set, domainOf(l1), checkpoint)
    return { header, hash, claim, certificate, checkpoint, gas: gasUsed, prove }
  }

  return {
    chain,
    async settle(txs = [], { origin } = {}) {
      const { block, roots } = await chain.next(txs, origin ? { origin } : {})
      return post(block.header, (table, id) => proveRecord(hexToBytes(roots.ledgerRoot), chain.store.reader, { table, id }))
    },
    async settleLedger(records) {
      const { block } = await chain.next([])
      const all = [{ ...L1_RECORD, record: l1Table.encode(getL1Info(chain.executor.state.ledger)) }, ...records]
      const entries = new Map<Hex, Uint8Array>()
      const tree = createLedgerTree(EMPTY, (key) => entries.get(bytesToHex(key)))
      const content = all.map(({ table, id, record }) => ({ key: treeKey(table, id), record }))
      tree.commit(content, ({ key, bytes }) => entries.set(bytesToHex(key), bytes))
      const recordAt = new Map(content.map(({ key, record }) => [bytesToHex(key), record]))
      return post({ ...block.header, withdrawalsRoot: rootHex(tree) }, (table, id) => {
        const key = treeKey(table, id)
        return createLedgerProof(tree, key, recordAt.get(bytesToHex(key)))
      })
    },
    async withdrawal(to, amount) {
      const [account] = testAccounts
      if (!account) throw new Error('there are test accounts')
      const { chainId } = chain.genesis.params
      return chain.decode(await signNative(account, { type: transfer, fields: { kind: 3, to, amount }, nonce: nonce++, chainId }))
    },
  }
}

/** All of the set precommitted the block, or these of it. */
export function commitOf(set: ValidatorSet, height: bigint, blockHash: Hex, signers = set.validators.map((_, i) => i)): L1Commit {
  const statement: Statement = { kind: 'precommit', height: Number(height), round: 0, validRound: -1, blockHash }
  const digest = statementDigest({ chainId: CHAIN_ID, epoch: set.epoch }, statement)
  const votes = signers.map(
    (validator): Vote => ({ ...statement, kind: 'precommit', validator, signature: sign(keyAt(set, validator), digest) }),
  )
  const commit = toL1Commit({ ...buildCommit(set, votes, aggregateSignatures), blockHash }, uncompressedSignature)
  if (!commit) throw new Error('the signature is no point')
  return commit
}

/** The secret key of who has a place in a set of validators of test/consensus/fixtures.ts, in whatever order. */
function keyAt({ validators }: ValidatorSet, place: number): BlsSecretKey {
  for (let index = 0; index < 2 * VALIDATORS_MAX; index++)
    if (publicKeyOf(secretKey(index)) === validators[place]?.publicKey) return secretKey(index)
  throw new Error('the tests have no key of this validator')
}

/** What checkpoints' signatures are good for on a stage. */
export function domainOf({ deployment, user }: L1Stage): CheckpointDomain {
  return { l1ChainId: user.chain.id, manager: deployment.checkpointManager }
}

/** All of the set signed the checkpoint, or these of it; `keys`: by another one's key. */
export function certificateOf(
  set: ValidatorSet,
  domain: CheckpointDomain,
  checkpoint: Checkpoint,
  signers = set.validators.map((_, i) => i),
  keys: readonly number[] = signers,
): L1Certificate {
  const digest = checkpointDigest(domain, checkpointHash(checkpoint))
  const signed = signers.map((validator, i) => {
    const other = keys[i]
    return { validator, signature: sign(other === undefined || other === validator ? keyAt(set, validator) : secretKey(other), digest) }
  })
  const certificate = toL1Certificate(buildSigners(set, signed, aggregateSignatures), uncompressedSignature)
  if (!certificate) throw new Error('the signature is no point')
  return certificate
}

/** Puts the stage's bond behind the client, paid by the holder of all OPEN. */
export async function bond(l1: L1Stage, submitter: StageClient): Promise<void> {
  const { openToken, checkpointManager } = l1.deployment
  const approval = {
    address: openToken,
    abi: openTokenAbi,
    functionName: 'approve',
    args: [checkpointManager, STAGE_CHECKPOINTS.bondWei],
  } as const
  await mined(l1.user, await l1.user.writeContract(approval))
  const args = [submitter.account.address] as const
  const call = { address: checkpointManager, abi: checkpointManagerAbi, functionName: 'depositBond', args } as const
  await mined(l1.user, await l1.user.writeContract(call))
}

/** Submits the checkpoint. */
export async function submit(
  l1: L1Stage,
  { claim, certificate }: Pick<Settled, 'claim' | 'certificate'>,
  from: StageClient = l1.submitter,
): Promise<Hex> {
  const args = [toL1Claim(claim), certificate] as const
  const manager = { address: l1.deployment.checkpointManager, abi: checkpointManagerAbi } as const
  const call = { ...manager, functionName: 'submit', args, account: from.account } as const
  await from.simulateContract(call)
  // Not estimated: what it takes depends on the second of its block.
  return from.writeContract({ ...call, gas: 1_000_000n })
}

/** Moves the clock of L1, and mines a block at that time. */
export async function pass(l1: L1Stage, seconds: number): Promise<void> {
  const { timestamp } = await l1.user.getBlock()
  await l1.user.setNextBlockTimestamp({ timestamp: timestamp + BigInt(seconds) })
  await l1.user.mine({ blocks: 1 })
}
