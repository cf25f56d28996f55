/**
 * l1: gas on L1 of what the rollup does there, on an anvil under the rules of the newest fork that it has: a batch's posting, a checkpoint and its fall by the
 * number of validators, deposits, withdrawals, exits. The first of a kind pays for fresh storage; what stands here is a later one's. Documented in
 * docs/benchmarks.md#l1. And bytes there of uploads, credits and transfers, beside those of the same done by a contract.
 *
 *     node test/bench/l1.bench.ts [--validators 1,4,32,100] [--json]
 */
import { hexToBytes, toHex } from 'viem'
import type { PrivateKeyAccount } from 'viem/accounts'
import { encodeSet } from '../../consensus/validatorSet.ts'
import { accounts, withdrawals } from '../../execution/ledger/tables.ts'
import { bridgeAbi, checkpointManagerAbi, openTokenAbi, portalAbi } from '../../settlement/abi.ts'
import { encodeSlashSigners } from '../../settlement/registry.ts'
import { setOf } from '../consensus/fixtures.ts'
import { proveFrauds } from '../contracts/challenges/challenges.ts'
import { bond, certificateOf, createSettledChain, domainOf, pass, submit } from '../contracts/settledChain.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { createColluders } from '../fakes/colluders.ts'
import { makeBlocks } from '../fakes/frauds.ts'
import { CHALLENGE_WINDOW_SEC, deployStage, type L1Stage, mined, STAGE_CHECKPOINTS, stageClient } from '../fakes/l1Stage.ts'
import { testAccounts } from '../fakes/testChain.ts'
import { digits, progress, readOptions, report, textTable } from './measure.ts'
import { compareBytes } from './postedBytes.ts'

const options = readOptions({ validators: '1,4,32,100' })
/** Gas that one transaction may use. Source: EIP-7825. */
const GAS_CAP = 16_777_216

type Figure = { readonly operation: string; readonly validators: number | undefined; readonly gas: number }

const anvil = await startAnvil()
try {
  const figures: Figure[] = []
  for (const size of options.validators.split(',').map(Number)) {
    progress(`checkpoints of ${size} validators`)
    figures.push(...(await measureCheckpoints(anvil, size)))
  }
  progress('deposits, withdrawals and exits')
  figures.push(...(await measureBridge(anvil)))
  progress('proofs of fraud')
  figures.push(...(await measureProofs(anvil)))
  progress('bytes')
  printResult(figures, compareBytes())
} finally {
  await anvil.stop()
}

/** A batch and its checkpoint, signed by all and by a bare quorum, behind others of their kind. */
async function measureCheckpoints(on: Anvil, size: number): Promise<Figure[]> {
  const weights = Array.from({ length: size }, () => 1)
  const set = setOf(weights)
  const l1 = await deployStage(on, { firstSet: toHex(encodeSet(set)) })
  await l1.publishGenesis()
  await bond(l1, l1.submitter)
  const rollup = await createSettledChain(l1, weights)
  const quorum = Array.from({ length: Math.floor((size * 2) / 3) + 1 }, (_, i) => i)
  const gasOf = async (signers: readonly number[] | undefined) => {
    const settled = await rollup.settle()
    const certificate = signers ? certificateOf(set, domainOf(l1), settled.checkpoint, [...signers]) : settled.certificate
    const { gasUsed } = await mined(l1.submitter, await submit(l1, { ...settled, certificate }))
    return { batch: Number(settled.gas), checkpoint: Number(gasUsed) }
  }
  await gasOf(undefined)
  const [all, bare] = [await gasOf(undefined), await gasOf(quorum)]
  const fallen = await gasOfFall(l1, size)
  return [
    { operation: 'batch of 1 byte in call data, all signed', validators: size, gas: all.batch },
    { operation: 'checkpoint, all signed', validators: size, gas: all.checkpoint },
    { operation: 'checkpoint, a bare quorum signed', validators: size, gas: bare.checkpoint },
    { operation: 'fall of a checkpoint, the proof aside', validators: size, gas: fallen.fall },
    { operation: 'places of the validators who signed it', validators: size, gas: fallen.slash },
  ]
}

/** The second checkpoint, which all have signed, falls; the stage's owner stands for the fraud verifier. */
async function gasOfFall(l1: L1Stage, size: number): Promise<{ readonly fall: number; readonly slash: number }> {
  const { checkpointManager, validatorRegistry } = l1.deployment
  const manager = { address: checkpointManager, abi: checkpointManagerAbi } as const
  const args = [1n, l1.user.account.address] as const
  const fall = await mined(l1.owner, await l1.owner.writeContract({ ...manager, functionName: 'invalidate', args }))
  const data = encodeSlashSigners(0, size)
  const slash = await mined(l1.poster, await l1.poster.sendTransaction({ to: validatorRegistry, data }))
  return { fall: Number(fall.gasUsed), slash: Number(slash.gasUsed) }
}

/** A proof of each kind of wrong batch, a small one, in blobs. */
async function measureProofs(on: Anvil): Promise<Figure[]> {
  const rollup = await createColluders(on)
  await makeBlocks(rollup)
  const proven = await proveFrauds(rollup, 'blob')
  return proven.map(({ name, gas }) => ({ operation: `proof: ${name}`, validators: undefined, gas: Number(gas) }))
}

async function measureBridge(on: Anvil): Promise<Figure[]> {
  const l1 = await deployStage(on)
  await l1.publishGenesis()
  await bond(l1, l1.submitter)
  const found: Figure[] = []
  const take = (operation: string, gas: bigint) => found.push({ operation, validators: undefined, gas: Number(gas) })
  const { openToken, portal } = l1.deployment
  const token = { address: openToken, abi: openTokenAbi } as const
  const supply = 10n ** 26n
  await mined(l1.user, await l1.user.writeContract({ ...token, functionName: 'approve', args: [portal, supply] }))
  await mined(l1.user, await l1.user.writeContract({ ...token, functionName: 'transfer', args: [portal, supply] }))
  take('deposit to the ledger, the first', await deposit(l1))
  for (let i = 0; i < 8; i++) await deposit(l1)
  take('deposit to the ledger, the tenth', await deposit(l1))

  const rollup = await createSettledChain(l1)
  const { address: to } = l1.user.account
  const settled = await rollup.settle([await rollup.withdrawal(to, 7n), await rollup.withdrawal(to, 9n)])
  await mined(l1.submitter, await submit(l1, settled))
  await pass(l1, CHALLENGE_WINDOW_SEC)
  const bridge = { address: l1.deployment.bridge, abi: bridgeAbi } as const
  for (const [index, name] of [
    [1n, 'the first of 256'],
    [2n, 'a later one'],
  ] as const) {
    const { record, siblings } = settled.prove(withdrawals.number, withdrawals.encodeId({ withdrawalIndex: index }))
    const args = [0n, settled.checkpoint, index, withdrawals.decode(hexToBytes(record ?? '0x')), siblings] as const
    const { gasUsed } = await mined(l1.user, await l1.user.writeContract({ ...bridge, functionName: 'finalizeWithdrawal', args }))
    take(`withdrawal, ${name}`, gasUsed)
  }
  await pass(l1, STAGE_CHECKPOINTS.exitTimeoutSec)
  const manager = { address: l1.deployment.checkpointManager, abi: checkpointManagerAbi } as const
  take('closing', (await mined(l1.user, await l1.user.writeContract({ ...manager, functionName: 'close' }))).gasUsed)
  const holder = stageClient(l1.url, testAccounts[0] as PrivateKeyAccount)
  await l1.user.setBalance({ address: holder.account.address, value: 10n ** 18n })
  const { record, siblings } = settled.prove(accounts.number, accounts.encodeId({ account: holder.account.address }))
  const args = [settled.checkpoint, accounts.decode(hexToBytes(record ?? '0x')), siblings, to] as const
  take('exit of a balance', (await mined(holder, await holder.writeContract({ ...bridge, functionName: 'exit', args }))).gasUsed)
  return found
}

async function deposit(l1: L1Stage): Promise<bigint> {
  const args = [l1.user.account.address, 1n, false] as const
  const call = { address: l1.deployment.portal, abi: portalAbi, functionName: 'depositToLedger', args } as const
  return (await mined(l1.user, await l1.user.writeContract(call))).gasUsed
}

function printResult(figures: readonly Figure[], { operations, ...ratios }: ReturnType<typeof compareBytes>): void {
  const over = figures.filter(({ gas }) => gas > GAS_CAP)
  if (over.length > 0) throw new Error(`above the cap of one transaction: ${over.map(({ operation }) => operation).join(', ')}`)
  const rows = figures.map(({ operation, validators, gas }) => [operation, validators === undefined ? '' : String(validators), digits(gas)])
  const show = (bytes: number | undefined) => (bytes === undefined ? '' : digits(bytes))
  const bytes = operations.map(({ operation, ops, native, contract }) => [operation, String(ops), show(native), show(contract)])
  const text = [
    `Gas on L1, whole transactions.\n\n${textTable(['operation', 'validators', 'gas'], rows)}`,
    `Bytes on L1 an operation.\n\n${textTable(['operation', 'in a batch', 'native row', 'contract call, brotli'], bytes)}`,
    `An entry of a credit, native of contract: ${digits(ratios.creditBytesOfContract)}; a whole credit of 100: ${digits(ratios.wholeCreditOfContract)}`,
  ].join('\n\n')
  report({ bench: 'l1', json: options.json, text, figures: { gas: figures, bytes: operations, ...ratios } })
}
