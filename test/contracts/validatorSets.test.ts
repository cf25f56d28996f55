/**
 * Sets of 1, 4 and 32 validators over four epochs, with real certificates and real keys: what is deposited is used, withdrawn and paid on L1 by checkpoints
 * that the set of each epoch signed, while one validator joins by a deposit and another leaves. Spec: docs/spec/settlement.md, docs/spec/consensus.md#epochs
 */
import { getAbiItem, type Hex, hexToBytes, toEventSelector, toHex } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parsePublicKey, provePossession, publicKeyOf, uncompressedKey, uncompressedSignature } from '../../consensus/bls.ts'
import { encodeSet, type ValidatorSet } from '../../consensus/validatorSet.ts'
import type { OriginStep } from '../../execution/buildBlock.ts'
import { createLedger } from '../../execution/ledger/ledger.ts'
import { getAccount, getL1Info, withdrawals } from '../../execution/ledger/tables.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { createEpochSets } from '../../node/epochs.ts'
import { bridgeAbi, checkpointManagerAbi, openTokenAbi, portalAbi, validatorRegistryAbi } from '../../settlement/abi.ts'
import { type L1Log, parseDeposits } from '../../settlement/l1Logs.ts'
import { encodeRotate, toL1Key, toL1Signature } from '../../settlement/registry.ts'
import { CHAIN_ID, secretKey } from '../consensus/fixtures.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { CHALLENGE_WINDOW_SEC, type L1Stage, mined, refusal, addressOf as stageAddress } from '../fakes/l1Stage.ts'
import { addressOf, signNative } from '../fakes/testChain.ts'
import {
  certificateOf,
  commitOf,
  createSettledChain,
  domainOf,
  openEpochs,
  pass,
  type Settled,
  type SettledChain,
  submit,
} from './settledChain.ts'

const EPOCH_BLOCKS = 3
const PAYEE: Hex = '0x000000000000000000000000000000000000ba1d'
const FEES: Hex = '0x00000000000000000000000000000000000000fe'
const PAID_WEI = 7n

let anvil: Anvil
beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())

type World = {
  readonly l1: L1Stage
  readonly rollup: SettledChain
  readonly setAt: (height: bigint) => ValidatorSet
  /** Deposits of the portal that no block has executed yet, as the origin of the next one. */
  origin(): Promise<OriginStep>
}

async function openWorld(count: number): Promise<World> {
  const { l1, chain, weights } = await openEpochs(anvil, count, EPOCH_BLOCKS)
  const { store } = chain
  const sets = createEpochSets({ genesis: chain.genesis, store, head: () => ({ header: chain.head() }) } as never)
  const setAt = (height: bigint) => {
    const set = sets.setAt(Number(height))
    if (!set) throw new Error('the set of a block that is here is known')
    return set
  }
  const rollup = await createSettledChain(l1, weights, { chain, setAt })
  return {
    l1,
    rollup,
    setAt,
    async origin() {
      const logs = await l1.user.getLogs({ address: l1.deployment.portal, fromBlock: l1.deployment.firstL1Block })
      const queued = parseDeposits(logs.filter(({ topics }) => topics.length > 1 && topics[0] !== RELEASED) as L1Log[])
      const before = getL1Info(createLedger(store.reader.ledgerRecord))
      const deposits = queued.slice(Number(before.depositCursor)).map(({ deposit }) => deposit)
      const next = { number: before.number + 1n, timestampSec: before.timestampSec + 1n, depositCursor: BigInt(queued.length) }
      return { info: { ...before, ...next }, deposits }
    },
  }
}

/** Of the portal's log that is of no deposit. */
const RELEASED = toEventSelector(getAbiItem({ abi: portalAbi, name: 'Released' }))

const tokenOf = ({ deployment }: L1Stage) => ({ address: deployment.openToken, abi: openTokenAbi }) as const
const registryOf = ({ deployment }: L1Stage) => ({ address: deployment.validatorRegistry, abi: validatorRegistryAbi }) as const

async function depositTo({ l1 }: World, to: Hex, amount: bigint): Promise<void> {
  const { portal } = l1.deployment
  await mined(l1.user, await l1.user.writeContract({ ...tokenOf(l1), functionName: 'approve', args: [portal, amount] }))
  const args = [to, amount, false] as const
  await mined(l1.user, await l1.user.writeContract({ address: portal, abi: portalAbi, functionName: 'depositToLedger', args }))
}

/** The key of the fixtures with this number joins, for the least stake. */
async function join({ l1 }: World, index: number): Promise<void> {
  const key = parsePublicKey(publicKeyOf(secretKey(index)))
  const owner = stageAddress(l1.user)
  const possession = toL1Signature(provePossession(secretKey(index), CHAIN_ID, owner), uncompressedSignature)
  if (!key || !possession) throw new Error('a key of ours is none')
  const args = [toL1Key(uncompressedKey(key)), possession, FEES, OPEN_WEI] as const
  const approval = [l1.deployment.validatorRegistry, OPEN_WEI] as const
  await mined(l1.user, await l1.user.writeContract({ ...tokenOf(l1), functionName: 'approve', args: approval }))
  await mined(l1.user, await l1.user.writeContract({ ...registryOf(l1), functionName: 'register', args }))
}

/** A validator of the genesis file asks to leave. */
async function leave({ l1 }: World, address: Hex): Promise<void> {
  await l1.user.setBalance({ address, value: 10n ** 18n })
  await l1.user.impersonateAccount({ address })
  await mined(l1.user, await l1.user.writeContract({ ...registryOf(l1), functionName: 'requestExit', account: address }))
}

/** Brings the set after a last block to L1. */
async function rotate({ l1, setAt }: World, { header, hash, claim }: Settled): Promise<ValidatorSet> {
  const [set, next] = [setAt(header.number), setAt(header.number + 1n)]
  const isSame = toHex(encodeSet(set)) === toHex(encodeSet(next))
  const data = encodeRotate(commitOf(set, header.number, hash), claim.header, isSame ? new Uint8Array() : encodeSet(next))
  await mined(l1.user, await l1.user.sendTransaction({ to: l1.deployment.validatorRegistry, data }))
  return next
}

test.each([1, 4, 32])('%i validators', { timeout: 240_000 }, async (count) => {
  const world = await openWorld(count)
  const { l1, rollup, setAt, origin } = world
  const { chainId } = rollup.chain.genesis.params
  const holder = privateKeyToAccount(generatePrivateKey())
  let nonce = 0n
  const send = async (kind: number, to: Hex, amount: bigint) =>
    rollup.chain.decode(await signNative(holder, { type: transfer, fields: { kind, to, amount }, nonce: nonce++, chainId }))
  const balance = () => getAccount(createLedger(rollup.chain.store.reader.ledgerRecord), addressOf(holder)).balance
  const paid = () => l1.user.readContract({ ...tokenOf(l1), functionName: 'balanceOf', args: [PAYEE] })
  const before = await paid()

  await depositTo(world, addressOf(holder), 10n * OPEN_WEI)
  await join(world, 40)
  const sizes: number[] = []
  const leaver = setAt(1n).validators[0]?.address
  if (!leaver) throw new Error('a set has a first validator')
  const changes = [() => undefined, () => leave(world, leaver), () => undefined, () => undefined]
  for (const [epoch, change] of changes.entries()) {
    await change()
    await rollup.settle([], { origin: await origin() })
    if (epoch === 0) expect(balance()).toBe(10n * OPEN_WEI)
    await rollup.settle([await send(0, FEES, 1n), await send(3, PAYEE, PAID_WEI)])
    const last = await rollup.settle()
    const { number } = last.header
    const set = setAt(number)
    sizes.push(set.validators.length)
    expect([number, set.epoch]).toEqual([BigInt((epoch + 1) * EPOCH_BLOCKS), epoch])

    const domain = domainOf(l1)
    const most = set.validators.map((_, i) => i).slice(Math.ceil(set.validators.length / 3) - 1)
    // Who left does not sign for the set that it left, though it has as many places as before.
    const signedBy = (other: ValidatorSet) => ({ ...last, certificate: certificateOf(other, domain, last.checkpoint) })
    if (epoch === 2) {
      expect(await refusal(submit(l1, signedBy(setAt(1n))))).toEqual(['BadSignature'])
      expect((await refusal(submit(l1, signedBy(setAt(BigInt(EPOCH_BLOCKS + 1))))))?.[0]).toMatch(/^(BitmapSize|BitBeyondSet)$/)
    }
    await mined(l1.submitter, await submit(l1, { ...last, certificate: certificateOf(set, domain, last.checkpoint, most) }))
    await rotate(world, last)

    await pass(l1, CHALLENGE_WINDOW_SEC)
    const index = BigInt(epoch + 1)
    const { record, siblings } = last.prove(withdrawals.number, withdrawals.encodeId({ withdrawalIndex: index }))
    const args = [BigInt(epoch), last.checkpoint, index, withdrawals.decode(hexToBytes(record ?? '0x')), siblings] as const
    const bridge = { address: l1.deployment.bridge, abi: bridgeAbi, functionName: 'finalizeWithdrawal', args } as const
    await mined(l1.user, await l1.user.writeContract(bridge))
    expect((await paid()) - before).toBe(index * PAID_WEI)
    const isMature = {
      address: l1.deployment.checkpointManager,
      abi: checkpointManagerAbi,
      functionName: 'isMature',
      args: [BigInt(epoch)],
    } as const
    expect(await l1.user.readContract(isMature)).toBe(true)
  }
  // One came in epoch 0, and one left in epoch 1.
  expect(sizes).toEqual([count, count + 1, count, count])
  expect(await l1.user.readContract({ ...registryOf(l1), functionName: 'newestEpoch' })).toBe(4)
})
