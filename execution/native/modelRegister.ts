/**
 * 0x54 ModelRegister: a model's manifest: what it was made from, under which licences, what it costs and who is paid.
 * modelId = keccak256(packed fields ‖ owner), so one manifest of one owner is one model.
 * Spec: docs/spec/transactions.md#0x54-modelregister
 */
import { type Hex, parseAbiItem, parseAbiParameters, zeroHash } from 'viem'
import { BPS, DOOR, LIMIT, NATIVE_GAS, RECEIPT_TIER_MAX, TX_TYPE } from '../../genesis/params.ts'
import { utf8Length } from '../fields.ts'
import { toHex, writeHex } from '../hex.ts'
import { keccak256 } from '../keccak.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { datanets, getCounters, indexOf, models, putCounters } from '../ledger/tables.ts'
import { DATANET_STATUS, hasUnknownLicenceBits, LICENCE, LICENCE_GRANTS } from './datanetCreate.ts'
import { defineNative, doorLog, type FieldValues, failure, invalid, type Rejection } from './nativeType.ts'

export const modelRegisteredEvent = parseAbiItem(
  'event ModelRegistered(bytes32 indexed modelId, address indexed owner, uint32 useFlags, uint32[] datanetIds, string name)',
)

export const modelRegister = defineNative({
  byte: TX_TYPE.modelRegister,
  name: 'ModelRegister',
  door: DOOR.models,
  functionName: 'register',
  payable: false,
  parameters: parseAbiParameters(
    'string name, bytes32 baseHash, bytes32 adapterHash, bytes32 tokenizerHash, bytes32 trainingConfigHash, bytes32 runtimeProfileHash, uint32 useFlags, (uint32 datanetId, bytes32 snapshotRoot, uint32 uploadCount, uint32 recordCount, uint16 weightBps)[] datanets, uint96 priceBase, uint96 pricePrompt, uint96 priceOutput, uint16 ownerBps, uint16 workerBps, uint16 contributorBps, uint96 minStake, uint8 maxTier',
  ),
  returns: parseAbiParameters('bytes32 modelId'),
  structNames: { datanets: 'DatanetSnapshot' },

  records: ({ datanets }) => 1 + datanets.length,

  itemGas: (fields) => NATIVE_GAS.perDatanet * BigInt(fields.datanets.length),

  check(fields) {
    const nameBytes = utf8Length(fields.name)
    if (nameBytes === 0 || nameBytes > LIMIT.nameBytes) return invalid('badName', { nameBytes })
    if (fields.baseHash === zeroHash) return invalid('badBase')
    if (hasUnknownLicenceBits(fields.useFlags)) return invalid('badUseFlags', { useFlags: fields.useFlags })
    if (!areSnapshots(fields.datanets)) return invalid('badDatanets')
    const { ownerBps, workerBps, contributorBps } = fields
    const hasOrphanShare = contributorBps > 0 && fields.datanets.length === 0
    if (ownerBps + workerBps + contributorBps !== BPS || hasOrphanShare)
      return invalid('badShares', { ownerBps, workerBps, contributorBps })
    if (fields.maxTier > RECEIPT_TIER_MAX) return invalid('badTier', { maxTier: fields.maxTier })
    return undefined
  },

  apply(ledger, { sender }, fields) {
    const { name, useFlags, datanets: snapshots } = fields
    const refused = checkLineage(ledger, useFlags, snapshots)
    if (refused) return refused
    const modelId = modelIdOf(fields, sender)
    if (models.get(ledger, { modelId })) return failure('modelExists', { modelId })
    indexOf(ledger, sender) // the owner earns a share of every fee
    const counters = getCounters(ledger)
    const index = counters.models + 1
    putCounters(ledger, { ...counters, models: index })
    const lineage = snapshots.map(({ datanetId, snapshotRoot, uploadCount, recordCount, weightBps }) => {
      const retires = datanets.get(ledger, { datanetId })?.retires ?? 0
      return { datanetId, snapshotRoot, uploadCount, recordCount, weightBps, retires }
    })
    models.put(ledger, { modelId }, { ...fields, index, owner: sender, datanets: lineage })
    const datanetIds = snapshots.map(({ datanetId }) => datanetId)
    const told = { modelId, owner: sender, useFlags, datanetIds, name }
    return { ok: true, logs: [doorLog(DOOR.models, modelRegisteredEvent, told)], returned: { modelId } }
  },
})

/** Id of the model that this owner registers with these fields. */
export function modelIdOf(fields: FieldValues, owner: Hex): Hex {
  const preimage = new Uint8Array(modelRegister.fields.packedBytes(fields) + 20)
  writeHex(owner, preimage, modelRegister.fields.packInto(fields, preimage, 0))
  return toHex(keccak256(preimage))
}

type Datanet = NonNullable<ReturnType<typeof datanets.get>>
type Snapshot = {
  readonly datanetId: number
  readonly snapshotRoot: Hex
  readonly uploadCount: number
  readonly recordCount: number
  readonly weightBps: number
}

function areSnapshots(snapshots: readonly Snapshot[]): boolean {
  if (snapshots.length === 0) return true
  if (snapshots.length > LIMIT.datanetsPerModel) return false
  if (new Set(snapshots.map(({ datanetId }) => datanetId)).size < snapshots.length) return false
  if (snapshots.some((one) => one.weightBps === 0 || one.snapshotRoot === zeroHash || one.uploadCount === 0 || one.recordCount === 0))
    return false
  return snapshots.reduce((sum, { weightBps }) => sum + weightBps, 0) === BPS
}

/** What a snapshot of a datanet must be for a model with these uses. */
type LineageRule = (snapshot: Snapshot, datanet: Datanet, useFlags: number) => Rejection | undefined

const LINEAGE_RULES: readonly LineageRule[] = [
  ({ datanetId }, { licence }, useFlags) => {
    // A manifest names what the model was made from: that is a use for training, whether its flags say so or not.
    const exceeding = (useFlags | LICENCE.train) & ~licence & LICENCE_GRANTS
    return exceeding === 0 ? undefined : invalid('licenceExceeded', { datanetId, licence, useFlags })
  },
  ({ datanetId }, { licence }, useFlags) => {
    const refused = licence & ~useFlags & ~LICENCE_GRANTS
    return refused === 0 ? undefined : invalid('licenceObligation', { datanetId, licence, useFlags })
  },
  ({ datanetId }, { status }) => (status === DATANET_STATUS.retired ? failure('datanetRetired', { datanetId }) : undefined),
  ({ datanetId, uploadCount }, { uploads }) =>
    uploadCount > uploads ? failure('unknownUpload', { datanetId, uploadCount, uploads }) : undefined,
  // A snapshot is of what is accepted and not retired now, and attribution weighs by its record count: nobody may claim more of them.
  ({ datanetId, recordCount }, { records }) =>
    BigInt(recordCount) > records ? failure('unknownRecords', { datanetId, recordCount, records }) : undefined,
]

/** Each rule over all datanets before the next one, so that the reason does not depend on the order in which a manifest lists them. */
function checkLineage(ledger: Ledger, useFlags: number, snapshots: readonly Snapshot[]): Rejection | undefined {
  const known = snapshots.map((snapshot) => datanets.get(ledger, snapshot))
  const unknown = known.indexOf(undefined)
  if (unknown !== -1) return failure('unknownDatanet', { datanetId: snapshots[unknown]?.datanetId })
  for (const rule of LINEAGE_RULES) {
    for (let i = 0; i < snapshots.length; i++) {
      const snapshot = snapshots[i]
      const datanet = known[i]
      const refused = snapshot && datanet && rule(snapshot, datanet, useFlags)
      if (refused) return refused
    }
  }
  return undefined
}
