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
    const { name, useFlags, datanets: snapshots, ...rest } = fields
    const refused = checkLineage(ledger, useFlags, snapshots)
    if (refused) return refused
    const modelId = modelIdOf(fields, sender)
    if (models.get(ledger, { modelId })) return failure('modelExists', { modelId })
    indexOf(ledger, sender) // the owner earns a share of every fee
    const counters = getCounters(ledger)
    const index = counters.models + 1
    putCounters(ledger, { ...counters, models: index })
    const lineage = snapshots.map((snapshot) => ({ ...snapshot, retires: datanets.get(ledger, snapshot)?.retires ?? 0 }))
    models.put(ledger, { modelId }, { ...rest, index, owner: sender, name, useFlags, datanets: lineage })
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

/** Each rule over all datanets before the next one, so that the reason does not depend on the order in which a manifest lists them. */
function checkLineage(ledger: Ledger, useFlags: number, snapshots: readonly Snapshot[]): Rejection | undefined {
  const named = snapshots.map((snapshot) => ({ ...snapshot, datanet: datanets.get(ledger, snapshot) }))
  for (const { datanetId, datanet } of named) if (!datanet) return failure('unknownDatanet', { datanetId })
  const known = named.flatMap(({ datanet, ...snapshot }) => (datanet ? [{ ...snapshot, datanet }] : []))
  for (const { datanetId, datanet } of known) {
    // A manifest names what the model was made from: that is a use for training, whether its flags say so or not.
    const exceeding = (useFlags | LICENCE.train) & ~datanet.licence & LICENCE_GRANTS
    if (exceeding !== 0) return invalid('licenceExceeded', { datanetId, licence: datanet.licence, useFlags })
  }
  for (const { datanetId, datanet } of known) {
    const refused = datanet.licence & ~useFlags & ~LICENCE_GRANTS
    if (refused !== 0) return invalid('licenceObligation', { datanetId, licence: datanet.licence, useFlags })
  }
  for (const { datanetId, datanet } of known) if (datanet.status === DATANET_STATUS.retired) return failure('datanetRetired', { datanetId })
  for (const { datanetId, datanet, uploadCount } of known) {
    if (uploadCount > datanet.uploads) return failure('unknownUpload', { datanetId, uploadCount, uploads: datanet.uploads })
  }
  // A snapshot is of what is accepted and not retired now, and attribution weighs by its record count: nobody may claim more of them.
  for (const { datanetId, datanet, recordCount } of known) {
    if (BigInt(recordCount) > datanet.records) return failure('unknownRecords', { datanetId, recordCount, records: datanet.records })
  }
  return undefined
}
