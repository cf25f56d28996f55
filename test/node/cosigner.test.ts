/** Validators sign the checkpoints of what they judged on L1, and tell each other until a quorum has. Spec: docs/spec/settlement.md#who-signs */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hex, toHex } from 'viem'
import { expect, onTestFinished, test, vi } from 'vitest'
import { aggregateSignatures, publicKeyOf, secretKeyBytes, sign } from '../../consensus/bls.ts'
import { buildSigners } from '../../consensus/certificate.ts'
import { CHECKPOINT_RECORD_BYTES } from '../../consensus/checkpointGuard.ts'
import { encodeCheckpointSignature, encodeCheckpointSigners, verifyCheckpointCertificate } from '../../consensus/checkpointSignatures.ts'
import { checkpointDigest } from '../../consensus/digest.ts'
import type { Block } from '../../execution/block.ts'
import { type CheckpointSigner, openCheckpointSigner } from '../../node/checkpointSigner.ts'
import { type Cosigner, createCosigner } from '../../node/cosigner.ts'
import { KeyError } from '../../node/keys.ts'
import { SignerError } from '../../node/signer.ts'
import { checkpointHash } from '../../settlement/checkpoint.ts'
import type { L1Batch } from '../../settlement/l1Logs.ts'
import { blockHash, CHAIN_ID, FAKE_SIGNATURE, secretKey, setOf } from '../consensus/fixtures.ts'
import { quietLog } from '../fakes/diskChain.ts'
import { createTestChain, type TestChain } from '../fakes/testChain.ts'

const SET = setOf([1, 1, 1, 1])
const DOMAIN = { l1ChainId: 31_337, manager: blockHash(1).slice(0, 42) as Hex }
const REPEAT_MS = 10_000
const OPTIONS = { chainId: CHAIN_ID, domain: DOMAIN, log: quietLog }

function folderOf(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-cosigner-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function openSigner(index: number, directory = folderOf()): Promise<CheckpointSigner> {
  const secret = secretKey(index)
  return openCheckpointSigner({ kind: 'local', publicKey: publicKeyOf(secret), secret: secretKeyBytes(secret) }, { ...OPTIONS, directory })
}

/** The batch on L1 that ends with a block of the chain. */
function batchOf(blocks: Awaited<ReturnType<typeof blocksOf>>, number: number, salt = 0): L1Batch {
  const block = blocks.stored.get(BigInt(number))
  if (!block) throw new Error('there is no such block')
  const lastBlock = BigInt(number)
  const header = { lastBlock, firstBlock: lastBlock, lastBlockHash: block.hash, prevAccumulator: blockHash(2), payloadBytes: 1 }
  const origin = { l1OriginNumber: 1n, l1OriginHash: blockHash(3) }
  const place = { index: lastBlock - 1n, accumulator: blockHash(100 + number + salt), dataHash: blockHash(4) }
  return { ...place, header: { ...header, ...origin }, l1Block: { number: lastBlock, hash: blockHash(5) } } as L1Batch
}

async function blocksOf(count: number) {
  const chain: TestChain = await createTestChain()
  const stored = new Map<bigint, { readonly block: Block; readonly hash: Hex; readonly ledgerRoot: Hex }>()
  for (let i = 0; i < count; i++) {
    const { block, hash, roots } = await chain.next([])
    stored.set(block.header.number, { block, hash, ledgerRoot: roots.ledgerRoot })
  }
  const store = { block: (number: bigint) => stored.get(number), reader: chain.store.reader }
  return { stored, chain: { store } as unknown as Parameters<typeof createCosigner>[0]['chain'] }
}

type Member = {
  readonly cosigner: Cosigner
  /** Valid batches that it sees on L1, and the last block that has a checkpoint there. */
  seen: L1Batch[]
  checkpointed: bigint
  isConnected: boolean
  readonly blamed: string[]
  readonly sent: Uint8Array[]
  readonly published: Uint8Array[]
  readonly fatal: unknown[]
}

/** Nodes with these signers, joined by a network in memory; peers are named by their place. */
async function startMembers(signers: readonly (CheckpointSigner | undefined)[], blockCount = 2) {
  const blocks = await blocksOf(blockCount)
  const members: Member[] = []
  for (const [i, signer] of signers.entries()) {
    const send = (signature: Uint8Array, peer?: string) => {
      members[i]?.sent.push(signature)
      for (const [at, to] of members.entries())
        if (at !== i && to.isConnected && members[i]?.isConnected && (peer === undefined || peer === String(at)))
          to.cosigner.take(signature.slice(), String(i))
    }
    const blame = (peer: string, why: string) => void members[i]?.blamed.push(`${peer}: ${why}`)
    const cosigner = createCosigner({
      ...{ chain: blocks.chain, domain: DOMAIN, signer, log: quietLog },
      safeChain: { lastOfBlocks: () => members[i]?.seen ?? [] },
      follower: { status: () => ({ checkpointed: members[i]?.checkpointed ?? 0n }) as never },
      sets: { setAt: () => SET },
      net: {
        send,
        blame,
        publish: (signers) => void members[i]?.published.push(signers),
        keyOf: (peer) => SET.validators[Number(peer)]?.publicKey,
      },
      onFatal: (error) => void members[i]?.fatal.push(error),
    })
    onTestFinished(cosigner.stop)
    members.push({ cosigner, seen: [], checkpointed: 0n, isConnected: true, blamed: [], sent: [], published: [], fatal: [] })
  }
  return { blocks, members }
}

const startFour = async () => startMembers(await Promise.all([0, 1, 2, 3].map((i) => openSigner(i))))
const turns = () => new Promise((resolve) => setTimeout(resolve, 0))

/** All of these see the batches on L1. */
async function show(members: readonly Member[], ...batches: readonly L1Batch[]): Promise<void> {
  for (const member of members) {
    member.seen = [...batches]
    member.cosigner.update()
  }
  await turns()
}

test('a checkpoint is what the batch, the block and the ledger say, and each node has a quorum’s certificate of it', async () => {
  const { blocks, members } = await startFour()
  const batch = batchOf(blocks, 2)
  await show(members, batch)
  const stored = blocks.stored.get(2n)
  if (!stored) throw new Error('there are two blocks')
  for (const { cosigner, blamed } of members) {
    const certified = cosigner.certified()
    if (!certified) throw new Error('four have signed')
    expect(certified.checkpoint).toEqual({
      ...{ lastBlock: 2n, blockHash: stored.hash, evmRoot: stored.block.header.stateRoot, ledgerRoot: stored.ledgerRoot },
      ...{ batchIndex: 1n, batchAccumulator: batch.accumulator, depositCursor: 0n },
    })
    const digest = checkpointDigest(DOMAIN, checkpointHash(certified.checkpoint))
    expect(verifyCheckpointCertificate(SET, digest, certified.certificate)).toEqual({ ok: true })
    expect(blamed).toEqual([])
  }
  expect(members[0]?.cosigner.counts()).toMatchObject({ signed: 1, certified: 1, heard: 3, bad: 0, missing: 0 })
})

test('one that is down keeps nobody; with two there is no quorum, and who comes back is told what was said', async () => {
  const { blocks, members } = await startFour()
  const [a, b, c, d] = members as [Member, Member, Member, Member]
  c.isConnected = false
  d.isConnected = false
  await show(members, batchOf(blocks, 1))
  expect(a.cosigner.certified()).toBeUndefined()
  expect(a.cosigner.counts().missing).toBe(2)
  c.isConnected = true
  for (const member of [a, b]) member.cosigner.greet('2')
  for (const peer of ['0', '1']) c.cosigner.greet(peer)
  expect([a, b, c, d].map(({ cosigner }) => cosigner.certified() !== undefined)).toEqual([true, true, true, false])
})

test('what comes before the batch is known here is kept, and is of use then', async () => {
  const { blocks, members } = await startFour()
  const [a] = members as [Member]
  await show(members.slice(1), batchOf(blocks, 1))
  expect(a.cosigner.certified()).toBeUndefined()
  a.seen = [batchOf(blocks, 1)]
  a.cosigner.update()
  expect(a.cosigner.certified()?.checkpoint.lastBlock).toBe(1n)
})

test('a batch that L1 took back is signed anew in its new place, and nothing of the old one is submitted', async () => {
  const { blocks, members } = await startFour()
  await show(members, batchOf(blocks, 1))
  const moved = batchOf(blocks, 1, 50)
  await show(members, moved)
  for (const { cosigner, fatal } of members) {
    expect(cosigner.certified()?.batch.accumulator).toBe(moved.accumulator)
    expect(fatal).toEqual([])
  }
})

test('the latest checkpoint that a quorum signed is the one to submit; what L1 has is forgotten', async () => {
  const { blocks, members } = await startFour()
  const [a, b, c, d] = members as [Member, Member, Member, Member]
  await show(members, batchOf(blocks, 1))
  await show([a, b], batchOf(blocks, 1), batchOf(blocks, 2))
  expect(a.cosigner.certified()?.checkpoint.lastBlock).toBe(1n)
  await show([c], batchOf(blocks, 1), batchOf(blocks, 2))
  expect(a.cosigner.certified()?.checkpoint.lastBlock).toBe(2n)
  for (const member of [a, b, c, d]) member.checkpointed = 2n
  await show([a, b, c, d], batchOf(blocks, 1), batchOf(blocks, 2))
  expect([a, b, c, d].map(({ cosigner }) => cosigner.certified())).toEqual([undefined, undefined, undefined, undefined])
})

test('one of the validators tells all nodes who signed; who is no validator has a certificate by that, and takes no other', async () => {
  const { blocks, members } = await startMembers([...(await Promise.all([0, 1, 2, 3].map((i) => openSigner(i)))), undefined])
  const follower = members[4] as Member
  follower.isConnected = false
  await show(members.slice(0, 4), batchOf(blocks, 1), batchOf(blocks, 2))
  expect(members.map(({ published }) => published.length)).toEqual([0, 1, 1, 0, 0])
  const [, { published: [first = new Uint8Array()] = [] } = {}, { published: [second = new Uint8Array()] = [] } = {}] = members
  await show([follower], batchOf(blocks, 1), batchOf(blocks, 2))
  expect(follower.cosigner.certified()).toBeUndefined()
  const changed = second.slice()
  changed[44] = 0b0111
  const verdicts = [changed, first.slice(1), first, first, second].map((bytes) => follower.cosigner.takeSigners(bytes))
  expect(verdicts).toEqual(['reject', 'reject', 'accept', 'stale', 'accept'])
  expect(follower.cosigner.certified()?.checkpoint.lastBlock).toBe(2n)
  expect(follower.sent).toEqual([])
  follower.checkpointed = 2n
  follower.cosigner.update()
  expect(follower.cosigner.takeSigners(second)).toBe('stale')
})

test('of what nodes are told eight checkpoints are kept, the latest', async () => {
  const { members } = await startMembers([undefined])
  const [a] = members as [Member]
  const signersOf = (lastBlock: number) => {
    const digest = checkpointDigest(DOMAIN, blockHash(lastBlock))
    const signed = [0, 1, 2].map((validator) => ({ validator, signature: sign(secretKey(validator), digest) }))
    const certificate = buildSigners(SET, signed, aggregateSignatures)
    return encodeCheckpointSigners({ lastBlock, checkpointHash: blockHash(lastBlock), certificate })
  }
  for (let lastBlock = 9; lastBlock > 0; lastBlock--) expect(a.cosigner.takeSigners(signersOf(lastBlock))).toBe('accept')
  // The first one is forgotten, and taken again; the second is known.
  expect([1, 2].map((lastBlock) => a.cosigner.takeSigners(signersOf(lastBlock)))).toEqual(['accept', 'stale'])
})

test('who signs wrongly, says what is none, or floods is told off, and the others are enough', async () => {
  const { blocks, members } = await startFour()
  const [a, , , d] = members as [Member, Member, Member, Member]
  const batch = batchOf(blocks, 1)
  d.isConnected = false
  members[1]?.seen.push(batch)
  members[1]?.cosigner.update()
  await show([a], batch)
  const digestOf = (bytes: Uint8Array) => toHex(bytes.slice(8, 40))
  const said = { lastBlock: 1, checkpointHash: digestOf(a.sent[0] ?? new Uint8Array()) }
  a.cosigner.take(encodeCheckpointSignature({ ...said, signature: FAKE_SIGNATURE }), '3')
  expect(a.blamed).toEqual(['3: its signature of a checkpoint does not verify'])
  await show(members.slice(2), batch)
  expect(a.cosigner.certified()).toBeDefined()
  a.cosigner.take(new Uint8Array(136).fill(255), '3')
  for (let i = 0; i < 400; i++) a.cosigner.take(encodeCheckpointSignature({ ...said, signature: FAKE_SIGNATURE }), '2')
  expect([...new Set(a.blamed)].slice(1)).toEqual([
    '3: a signature of a checkpoint that is none (numberRange)',
    '2: it sends signatures of checkpoints without end',
  ])
})

test('of one validator eight signatures are held that are of nothing known here', async () => {
  const { blocks, members } = await startFour()
  const [a] = members as [Member]
  await show(members.slice(1), batchOf(blocks, 1))
  for (let i = 0; i < 8; i++) {
    const strange = { lastBlock: 2, checkpointHash: blockHash(900 + i), signature: FAKE_SIGNATURE }
    for (const peer of ['2', '3']) a.cosigner.take(encodeCheckpointSignature(strange), peer)
  }
  a.seen = [batchOf(blocks, 1)]
  a.cosigner.update()
  expect(a.cosigner.certified()).toBeUndefined() // only one other's was not pushed out
  expect(a.cosigner.counts()).toMatchObject({ heard: 1 })
})

test('a signer that was away is asked again, and the latest signature is said again while L1 has no checkpoint of it', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const local = await openSigner(0)
  let isAway = true
  const signer: CheckpointSigner = {
    ...local,
    async sign(checkpoint) {
      if (isAway) throw new SignerError('deadline', 'the signer did not answer in time')
      return local.sign(checkpoint)
    },
  }
  const { blocks, members } = await startMembers([signer])
  const [a] = members as [Member]
  await show([a], batchOf(blocks, 1))
  expect(a.sent).toHaveLength(0)
  isAway = false
  for (const length of [1, 2, 3]) {
    vi.advanceTimersByTime(REPEAT_MS)
    await turns()
    expect(a.sent).toHaveLength(length)
  }
  a.checkpointed = 1n
  a.cosigner.update()
  vi.advanceTimersByTime(REPEAT_MS)
  expect(a.sent).toHaveLength(3)
})

test('a key with a guard here signs no second state of a block, also after a restart; a torn record is none, a damaged one stops it', async () => {
  const folder = folderOf()
  const { blocks, members } = await startMembers([await openSigner(0, folder)])
  const [a] = members as [Member]
  await show([a], batchOf(blocks, 1))
  await a.cosigner.stop()
  const checkpoint = {
    ...{ lastBlock: 1n, blockHash: blockHash(1), evmRoot: blockHash(2), ledgerRoot: blockHash(3) },
    ...{ batchIndex: 0n, batchAccumulator: blockHash(4), depositCursor: 0n },
  }
  const again = await openSigner(0, folder)
  await expect(again.sign(checkpoint)).rejects.toMatchObject({ name: 'SignerError', code: 'refused', message: /otherState/ })
  const second = { ...checkpoint, lastBlock: 2n }
  const signature = await again.sign(second)
  expect(await again.sign({ ...second, batchIndex: 1n })).not.toEqual(signature)
  expect(await again.sign(second)).toEqual(signature)
  await again.close()
  await expect(again.sign(second)).rejects.toMatchObject({ code: 'closed' })

  const file = join(folder, 'checkpoints')
  const bytes = readFileSync(file)
  expect(bytes.length).toBe(2 * CHECKPOINT_RECORD_BYTES)
  writeFileSync(file, bytes.subarray(0, -1))
  const torn = await openSigner(0, folder)
  await torn.sign({ ...second, evmRoot: blockHash(9) }) // what is torn would not have been signed
  await torn.close()
  expect(statSync(file).size).toBe(2 * CHECKPOINT_RECORD_BYTES)
  bytes[3] = 1
  writeFileSync(file, bytes)
  await expect(openSigner(0, folder)).rejects.toBeInstanceOf(KeyError)
})
