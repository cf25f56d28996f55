// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// What a user without native transactions would deploy: uploads, models, and credits against a client's signed voucher. It keeps the fields that
/// the ledger's records keep, packed, with custom errors and no strings in storage. It does less than the native rules do (no licences, reviews,
/// stakes, fee split or vesting), which is in its favour.
contract Hub {
    struct Datanet {
        address owner;
        uint32 licence;
        uint32 uploads;
        uint8 status;
    }

    struct Upload {
        address uploader;
        uint64 atSec;
        uint32 recordCount;
        bytes32 contentRoot;
        uint64 byteCount;
        uint8 contributors;
        bytes contentId;
    }

    struct Contributor {
        address account;
        uint16 shareBps;
        uint8 role;
    }

    struct Snapshot {
        uint32 datanetId;
        uint32 uploadCount;
        uint32 recordCount;
        uint16 weightBps;
        bytes32 snapshotRoot;
    }

    struct Manifest {
        bytes32 name;
        bytes32 baseHash;
        bytes32 adapterHash;
        bytes32 tokenizerHash;
        bytes32 trainingConfigHash;
        bytes32 runtimeProfileHash;
        uint96 pricePrompt;
        uint96 priceOutput;
        uint32 useFlags;
        uint16 ownerBps;
        uint16 workerBps;
        uint16 contributorBps;
    }

    struct Worker {
        uint64 lastSeq;
        uint32 credits;
        bool active;
    }

    struct Window {
        bytes32 modelId;
        uint64 seq;
        uint32 count;
        uint64 promptTokens;
        uint96 fee;
        bytes32 receiptsRoot;
        bytes32 attributionRoot;
    }

    struct Credit {
        Window window;
        uint96 toContributors;
        uint64 atSec;
    }

    struct Voucher {
        address client;
        uint96 cumulativeMax;
        bytes32 r;
        bytes32 s;
        uint8 v;
    }

    event Uploaded(
        uint32 indexed datanetId,
        uint32 indexed uploadIndex,
        address indexed uploader,
        bytes32 contentRoot,
        bytes contentId,
        uint32 recordCount
    );
    event ModelRegistered(bytes32 indexed modelId, address indexed owner, uint32 useFlags, Snapshot[] datanets, bytes32 name);
    event Credited(
        address indexed worker,
        bytes32 indexed modelId,
        uint32 indexed creditIndex,
        uint64 seq,
        uint32 count,
        uint96 fee,
        uint96 toContributors,
        bytes32 receiptsRoot
    );

    error UnknownDatanet();
    error UnknownModel();
    error UnknownWorker();
    error ModelExists();
    error SequenceReused();
    error BadShares();
    error BadEntries();
    error BadVoucher();

    mapping(uint32 datanetId => Datanet) public datanets;
    mapping(uint256 key => Upload) private _uploads;
    mapping(uint256 key => mapping(uint256 i => Contributor)) private _contributors;
    mapping(bytes32 modelId => Manifest) private _models;
    mapping(bytes32 modelId => address) public modelOwner;
    mapping(bytes32 modelId => Snapshot[]) private _snapshots;
    mapping(address worker => Worker) public workers;
    mapping(address worker => mapping(uint32 creditIndex => Credit)) private _credits;
    mapping(address account => uint256) public earned;
    mapping(address client => uint256) public prepaid;
    mapping(address client => mapping(address worker => uint256)) public drawn;

    /// Sets the stage: datanets 1 to `count`, and these workers.
    function prepare(uint32 count, address[] calldata active) external {
        for (uint32 id = 1; id <= count; ++id) datanets[id] = Datanet(msg.sender, 9, 0, 1);
        for (uint256 i; i < active.length; ++i) workers[active[i]].active = true;
    }

    function prepay(address[] calldata clients) external payable {
        for (uint256 i; i < clients.length; ++i) prepaid[clients[i]] += msg.value / clients.length;
    }

    function upload(
        uint32 datanetId,
        bytes32 contentRoot,
        bytes calldata contentId,
        uint32 recordCount,
        uint64 byteCount,
        Contributor[] calldata contributors
    ) external {
        Datanet storage datanet = datanets[datanetId];
        if (datanet.status != 1) revert UnknownDatanet();
        uint32 index = datanet.uploads;
        datanet.uploads = index + 1;
        uint256 key = (uint256(datanetId) << 32) | index;
        Upload storage one = _uploads[key];
        one.uploader = msg.sender;
        one.atSec = uint64(block.timestamp);
        one.recordCount = recordCount;
        one.contentRoot = contentRoot;
        one.byteCount = byteCount;
        one.contributors = uint8(contributors.length);
        one.contentId = contentId;
        uint256 shares;
        for (uint256 i; i < contributors.length; ++i) {
            shares += contributors[i].shareBps;
            _contributors[key][i] = contributors[i];
        }
        if (shares != 10_000) revert BadShares();
        emit Uploaded(datanetId, index, msg.sender, contentRoot, contentId, recordCount);
    }

    function register(Manifest calldata manifest, Snapshot[] calldata snapshots) external {
        bytes32 modelId = keccak256(abi.encode(manifest, snapshots, msg.sender));
        if (modelOwner[modelId] != address(0)) revert ModelExists();
        if (manifest.ownerBps + manifest.workerBps + manifest.contributorBps != 10_000) revert BadShares();
        modelOwner[modelId] = msg.sender;
        _models[modelId] = manifest;
        uint256 weights;
        for (uint256 i; i < snapshots.length; ++i) {
            if (datanets[snapshots[i].datanetId].status != 1) revert UnknownDatanet();
            weights += snapshots[i].weightBps;
            _snapshots[modelId].push(snapshots[i]);
        }
        if (weights != 10_000) revert BadShares();
        emit ModelRegistered(modelId, msg.sender, manifest.useFlags, snapshots, manifest.name);
    }

    /// What the client signs: keccak256(abi.encode(chain id, this contract, worker, cumulativeMax)). What no entry takes is the worker's.
    function credit(Voucher calldata voucher, Window calldata window, address[] calldata to, uint96[] calldata amounts) external {
        Worker storage worker = workers[msg.sender];
        if (!worker.active) revert UnknownWorker();
        if (modelOwner[window.modelId] == address(0)) revert UnknownModel();
        if (window.seq <= worker.lastSeq) revert SequenceReused();
        uint32 index = worker.credits;
        worker.lastSeq = window.seq + window.count - 1;
        worker.credits = index + 1;
        _draw(voucher, window.fee);
        if (to.length != amounts.length) revert BadEntries();
        uint256 total;
        for (uint256 i; i < to.length; ++i) {
            total += amounts[i];
            earned[to[i]] += amounts[i];
        }
        if (total > window.fee) revert BadEntries();
        earned[msg.sender] += window.fee - total;
        _credits[msg.sender][index] = Credit(window, uint96(total), uint64(block.timestamp));
        emit Credited(msg.sender, window.modelId, index, window.seq, window.count, window.fee, uint96(total), window.receiptsRoot);
    }

    function _draw(Voucher calldata voucher, uint256 amount) private {
        address client = voucher.client;
        bytes32 digest = keccak256(abi.encode(block.chainid, address(this), msg.sender, voucher.cumulativeMax));
        if (client == address(0) || ecrecover(digest, voucher.v, voucher.r, voucher.s) != client) revert BadVoucher();
        uint256 drawnNow = drawn[client][msg.sender] + amount;
        if (drawnNow > voucher.cumulativeMax) revert BadVoucher();
        drawn[client][msg.sender] = drawnNow;
        prepaid[client] -= amount;
    }
}
