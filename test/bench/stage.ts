/**
 * Puts on a chain what native operations refer to: datanets with an accepted upload each, a model over them, workers with their stakes, clients with a
 * prepaid balance. The chain is whatever includes signed transactions: a state in this process, or a node behind JSON-RPC.
 */
import { bytesToHex, type Hex } from 'viem'
import { datanetCreate, LICENCE } from '../../execution/native/datanetCreate.ts'
import { datanetReview, VERDICT } from '../../execution/native/datanetReview.ts'
import { datanetUpload } from '../../execution/native/datanetUpload.ts'
import { modelIdOf, modelRegister } from '../../execution/native/modelRegister.ts'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { WORKER_ACTION, workerRegister } from '../../execution/native/workerRegister.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { modelFields, type Signer, seeded, signNative, uploadFields } from './operations.ts'

/** Datanets of a stage; coprime to 7, which operations rely on. */
export const DATANETS = 64

/** Stake of each worker. The devnet's minimum is 1,000. */
export const STAKE_WEI = 1_000n * OPEN_WEI

/** The chain on which a stage is set. */
export type Ground = {
  readonly chainId: number
  /** Next nonce of a ledger account. */
  nonceOf(address: Hex): Promise<bigint>
  /** Number of the last datanet. */
  lastDatanetId(): Promise<number>
  /** Has all of these included, each sender's in their order, and throws if one of them fails. */
  include(raws: readonly Uint8Array[]): Promise<void>
}

/** Who plays which part. Everybody has a ledger balance already, but clients, who get their prepaid one from the owner. */
export type Cast = {
  readonly owner: Signer
  readonly workers: readonly Signer[]
  readonly clients: readonly Signer[]
  readonly prepaidWei: bigint
}

/** Sets the stage. Workers that have a nonce already are taken for registered. */
export async function setStage(ground: Ground, cast: Cast): Promise<{ readonly datanetIds: readonly number[]; readonly modelId: Hex }> {
  const { chainId } = ground
  const { owner, clients, prepaidWei } = cast
  const first = (await ground.lastDatanetId()) + 1
  const datanetIds = Array.from({ length: DATANETS }, (_, i) => first + i)
  let nonce = await ground.nonceOf(owner.address)
  const next = () => ({ sender: owner, nonce: nonce++ })
  const creations = datanetIds.map((id) => {
    const fields = {
      name: `bench-datanet-${id}`,
      schemaHash: bytesToHex(seeded('schema')),
      licence: LICENCE.train | LICENCE.commercialUse,
      curator: owner.address,
      joinPolicy: 0,
      uploadBond: 0n,
    }
    return signNative(next(), { type: datanetCreate, fields, chainId })
  })
  await ground.include(creations)
  const uploads = datanetIds.map((id) => {
    const fields = { ...uploadFields({ datanetIds: [id] }, { number: 2 ** 30 + id, sender: owner }), datanetId: id }
    return signNative(next(), { type: datanetUpload, fields, chainId })
  })
  const reviews = datanetIds.map((datanetId) => {
    const fields = { datanetId, uploadIndex: 0, verdict: VERDICT.accept, qualityBps: 9_000, reason: 0 }
    return signNative(next(), { type: datanetReview, fields, chainId })
  })
  // Over two datanets, as the usual model is over few.
  const model = modelFields({ name: 'bench-model', datanetIds: datanetIds.slice(0, 2) })
  const registration = signNative(next(), { type: modelRegister, fields: model, chainId })
  const prepaid = clients.map(({ address }) => {
    const fields = { kind: TRANSFER_KIND.prepaid, to: address, amount: prepaidWei }
    return signNative(next(), { type: transfer, fields, chainId })
  })
  await ground.include([...uploads, ...reviews, registration, ...prepaid])
  await ground.include(await registerWorkers(ground, cast))
  return { datanetIds, modelId: modelIdOf(model, owner.address) }
}

async function registerWorkers({ chainId, nonceOf }: Ground, { workers }: Cast): Promise<Uint8Array[]> {
  const raws: Uint8Array[] = []
  for (const sender of workers) {
    const nonce = await nonceOf(sender.address)
    if (nonce > 0n) continue
    const fields = {
      action: WORKER_ACTION.register,
      hotKey: sender.address,
      runtimeProfileHash: bytesToHex(seeded('profile')),
      stake: STAKE_WEI,
      endpoint: 'https://worker.example',
    }
    raws.push(signNative({ sender, nonce }, { type: workerRegister, fields, chainId }))
  }
  return raws
}
