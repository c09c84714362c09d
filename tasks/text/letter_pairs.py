"""Pairs of letters that make up 93 % of all pairs in running text, the most frequent first, by ISO 639-1 code.

Counted in the translated messages of some 120 GNU and Debian programs (gettext catalogues), 0.5 to 2.4 million letters
a language. Text of these languages has 85 % or more of its pairs among them; the same text with exchanged letters has
less than 75 %, even in the language that fits best.
"""

_PAIRS = {
    "en": (
        "inreeronanorthteatheletingenesaledarstsetonocoisntitotiolitaecmeramailndoudericarochfilaasnasipe"
        "genepafousetctvehaunuticacdieaamlobeofhinselomceabtruradulssidexprllvaagemolblaimoumnioprtbadawi"
        "poshmiiaowkesancigldckdoryirochosuuprrifrsluplwaieptapimsouetssprngunnkafagitypucrmpaymbauefbuep"
        "odwhpprmmutucigalyosnuviboualtquruoveeivrdgnnvcurgipweeygrttogizzebimmpiypscfrrceguiobkiyoooavub"
        "clakhubyxtevxiwonkfexpewibgodudsnfsytcyaffeqnlghddfu"
    ),
    "de": (
        "enerchtedeeiingeieanbestunesicngrendonisletineniatscntalseitheelarwehtaudartzedirdorlietsimeveig"
        "rannllhltausltferilanamaaskassaburkeiozukorsmihaamfüehvopansruumimemtzufhrnuolwiebilürroktbaprga"
        "egakwasptrirpeagacutodrnhiomtssagrtuopeffobieknznorwmmlsrgadgittsockgutonklorzdupoedfaecülexcofi"
        "ahrbuesuängürmhngteublptnfobmoibulluthiaztucikosotmbbusguggsuamuubidhoifübapüsldepzirfailgivffnb"
        "dofurhbompshrkkibrcazarürlvipisyeaglrrkufrpurclüvatyjeogocdreewuftupßeypgnokhutlplpfwoyaxttügoew"
        "xiouärppösswez"
    ),
    "fr": (
        "deesonlereertienntanurtelainioouchcolipaisneatarstaltrsepofimeieraornsueeuquutassiitunriicmatave"
        "ctréssecndomceilaunoaietroirpebléeemprsadahiduacmphegedéncimrtcarsvadisuninaécoinnagérlosotoexus"
        "elllighaidngmirropdoifmoiqibplosamabtétttsguuignoloculavbanéfoapodmmciivnumbppffuptusérmptcrêtét"
        "cuumiaotspépgibouvéfésgapuucluadmépénvrcvirgfagrvobiléhoafcluabrdrobsynfémeztyrukapiegrneprdéltè"
        "ypeathxibuxtuxvémuwajeogjoèrip"
    ),
    "es": (
        "deenesarerreraladoelciconoorsentteonadtainalosstcaictoónióroueectiacasdatrlipaannaloidunsineriio"
        "malepodifimeomndmiisqupepuchitcectieetiaprncedamsosaabativblemirmombnispmpveopvaolusvobiimeaexrr"
        "gurmccocegbruasucunsurrtrczahescplighagillhiilbaifutcrtuibodbeviobipjeumizrutángulclltálfageuifo"
        "udefotrsebgrváboeprdgafuavpclugoapnfínrgubnvagucnuráevfepiupxilíajduayxtjomáej"
    ),
    "it": (
        "onreerdiintotarileatnecoiltealioendenoorntelesstarlatiralianmesellsipoiccazissnaitunmafiroimlope"
        "ttchostrnisoisiaomndmpdabietveolamutsaprpavaciscazgingecsuascemodoheegusibagviurmiidhiizzairrrem"
        "gespopggbaieifuagugaabpuocacotrtigultuquivzzuenuodccnsncrmppavappiiucrhaipovgorsltuifoedumvonzea"
        "upogmbcubeeiadevuoglplboairngrlurgezrcdurdaurukagnnnwaefblfa"
    ),
    "pt": (
        "deardoesraerteãocoreadeninntosordataalpacamalimesepostemonasroicritoanomvefitiidqueceltrçãnoumis"
        "irnadilondpriacimoiosslaitnãaçimpeamateifosampethanhsoexvoivnechheuivaleuesincocnisphoacouurceil"
        "rrguusuamiodlhsuaprtutnsrmgescoptufaoligaiizívviefifltcrabctzasírqotõeuncuegulbaavnvplsãaggiaoár"
        "edobálepevçõbiupvágrgaiprgoibrmbrsngfenfpçovazluclbeórnupixieaxtibtáçaeçruboblrngordiçráixduídja"
        "çoauxerãbudrnúrvogtóúmmu"
    ),
    "nl": (
        "enerangedeteinetaasteeieelrendorarveontaalchesnglebeisrdhekeijtivaoonimaatmentvouioplioediraitna"
        "rorilaegsctoekneignsseampaevbrwakaomakrsebrudapeldbaacwocoouikllwehteihadoidecsiolrtbipricofgras"
        "lotrlsepurutemkozewiapslziedcttsagmomihiadrgktsshonoundteucaptumgafooggiovotluabilefguiacettbosa"
        "ezpoimafodocviturkusksnujnrwulblsodshujkuwjdpimmaiduosppkknvdrltauzoirbuukfigsnkplrmcithshpuexub"
        "ncudrbkimbsyrvrnhrgotveaspftoktwehnnjeiolkjatykluaewypifnbzaobmprcug"
    ),
    "pl": (
        "niieannastowpoczwaenrazaliiaprwytarzzewikokiodzyonarnykaneroikerdoalchorcijeesmiskrelaaktoinmago"
        "motynoisawacatleszdateyccjznegówpiekasweejplamntoktrloosięjaioomkuetadolożempameopdnceelśctuussi"
        "azobdzymłoośluickrsuzizwżnytzoozącworyecałłaużajdeumlnżyezrtogocsebijiedysaćgaruurywżeunsagugiag"
        "bałąktślwnotapidndsyykepujitucbrfijąróęddłklbyzmbłtkeśpumugrsoyjyćcaksriypubiwrsłusptwabądngtódr"
        "ewwsśćboeżbepecyfodlpcnuutyśęcńshadyjsrmhoblkóigbuybcougduhisłkcudjśilnntęuatnukołyftliąiułęimzu"
        "ażićnfjędczbórańrcncrgmyynscdpylępśwgnupckeńnąairdońzęulęzbsnkauuwijńcnsgedikłlkgłiiwłmbmnłytisj"
        "ętizrwheir"
    ),
    "sv": (
        "erinteenandearratastnttingndatllkaetreilörföelalttlaonorlemenaänomriisadskmadaninsärigkogeliasse"
        "väutfiesamsagaktneveckedtruniovapaavkechitgirtaksiltsoviivrotoloidogolagbahaekssrdslrnmmrsbeppmi"
        "nvnnocurhepeumgrtsecprpåfelärupoludikukrnomngsopggabapälboikräemycokexotgutuicupdrfrnkåntyråefgt"
        "egdsulfliafohispbirmceodmodorktälsrvkimbknnfhunyblmpsyplusgngoduosieimnujeacåtoblyövmåkäypäguaål"
        "ätsärgshrlytwaldcocavslnepthlååstösuiföksnehtnrypipubuhoyajaljymkldnddrrämäsauaihåödftirsöouxtlk"
        "bymueabruepsayibfaciubnäfuuvsffffäjäukrbtl"
    ),
    "da": (
        "erendereintendetstanketileilorngelskgevealmeattaseikeskkedfonearlirintiskaonigomllfiunafmarakola"
        "diivrunsviognitrlsugrsldttnaemsiekprrobroladkrrtudpedadssolobeærvajeagegamiommtoidopktasferdakav"
        "dtørgsgnksgihannsagtpakurkhevæblitejgrslltmiodulænvndrlgkissurumrnpåcepoutbanugaylifovftfrspnkok"
        "gyrmjlefhoræusnohvlæsydlabapbigltøtyluøgiedomoguppbodutuflføimuervuknjirddsnpudvplrgmbiaypeprrmp"
        "faevchicpisæeaætnøbuoscoobæstsfsøjcaryælausugolynfykshehupacouecydcisfytubhiotystnuaebnyfuérocib"
        "ymåripdgrbklptknghrlmudnlvlk"
    ),
    "nb": (
        "erentereinkeetdeilorstellekktingalikanarmesendvenettllfosktageomesriavliisntatrtlaignnedonfidiut"
        "makappruvikojevasolgrasildbrukopnaekpeastrkrnsogunksørivdafersegmmidrdprlssstopåolslrognakeiktkl"
        "loamgrhepadujoemylblitbevnsjniagdrapmigyøkltsaharkføusughvgtgsullugitsbaokkiadurrgumfrrmifpohonø"
        "rnkjspytnkdoodtønonjtueffaieevkumoovianygugggjimpiepsynubirrirærostyplmåboobykrygaftabmppulydlds"
        "buypfuvsårflptsvnfupøyubrvbyjøotpsddnlehsfsuoesn"
    ),
    "fi": (
        "entainstisttteittuetlitivaonsilltoaltäkoanelseoileosneaaeiaisalaeeolvikiriermintusatmeäässarnika"
        "keiriemaasimnnytkukäotlutyiiesjaundoikkkakuuiläyksutlomäheohuoediajosänaraavekdeulukpivoempaänro"
        "auivälrhhtrkärmurediväsoamorjepäiouisuoktssknäläomopsyltpuodvejääiumnurjnopoueästöurhdysätdalkpp"
        "nkhaympelmoonsuvepyyuaijyhapkyrtrvmbämndoaidmobovuojykyöylynhjajäoevhkngräypmmovipiäeaihudrreupr"
        "gu"
    ),
    "cs": (
        "stpoovnínaennerooupratjeteornochpřtaloodelrazevakoinlisosetoertiřeánlekahonáboesitlaalanvetucesk"
        "váarzarevyosdoadobolaknýubazonnéeddnkuntdavýepavdeslmeasvoacetisruujbaotznamekčeřítrrářiezužmaik"
        "oktnačupávkyozemicplžiázomíscíybklebožzokáěnhypiktmoivecutninubytyměádlznělísavnlnštevícpabrkédr"
        "ypripíálapátčížespmáidíkbuimvéabmiopurmuítnyexšedkýccickdiumfilájíusjavěajdáhltíejočviudpupekrrt"
        "ímludpzáahojulylndéhcosumízíémocínduguilpntlhaíčfotěunnsrnvíjisyytzitvkermigrvzdblšíhezpářryřáge"
        "ohbesásičnipámjsbssmhumétkílifbnngknžívuuksíořásjmtřdslkzmnkečrzárčadítémpdyxtbýénrgčtděvlžkýtjt"
        "ogysíhgrělýmizběkcžávslhišijxignnfhipsrůshčkyžětzvkýžaídčiušvržndležuzódýstábinnrcncnčažkůbárdbí"
        "tůěrlluazurézkhrkóefěřzyšiialsléibsneoieagívjnltčávšařpt"
    ),
    "hu": (
        "elszleenetmeteásegatésáleralnetáanhalagytaorazreezinolítracsemnyesarakntsaérsokevakattasekonrtbe"
        "téltvejetozemallyekiokseagisáraphezáozájköosláliikbakofeniadtiénnaztssjllyndángahootfágeroomtóül"
        "fokénáhimálévásincátdezisáumriamsézézarálómijaulznstvétuéglmngildousitoglopoéldapagoépzotrkumolí"
        "iblvsíabözbinézőktigyoékírrmámtöaiehétrviaimvipeörpcágcilhevmélsprtőutbbövlőejmbtknoévtvódrsthed"
        "diidókióguytrüurldblbounvorgrétlopyapégjlkönljeákkrltízíajölívzörnzóbáfigrnkrddégégirrdátsceivch"
        "ircomóshrzávtyímöscínílndőpuyvábobyiodvtizicjtnnjázljosunsgácalcghólavepgnlübumusrrórclgtjnuőlks"
        "ifdsexauzzkízkújácluötecsőrkmkebggzüőkdvuappázefákzsovínípűkükdjyzrbóttűyűugackütúglsmsknliídubr"
        "ierhrjúlügrölölzműrőfüúslbémkókryáfrtnőt"
    ),
    "ro": (
        "reteardeeratinnteaulstunenrilioraltrtaținelenuiefiestiecrucaicsemerailpeimcoeltăacutniluînancecu"
        "itonmalaloșioaiudiprtuurctsiuiporocătoetciumiszăvadaiaișchpaocndvenaazirsusascmpizasmibiărpuolex"
        "foațiiopemspidifrteprăheomzaivncauosrmeiplsănscrnoeșnăhimogiipcțmbgeiobuodupabptaplăezamrsadegng"
        "ștotguduuamăafaidoltbafemuviibagziblpiedevnțgrpțânițzergrcsobousefrnătgăganfebfadăubucigobajxt"
    ),
    "tr": (
        "laanarerleinenmayailirridealliamtabisiramendnıdiakınteayneektinidasıolreelrıorkaatetdınagesaırem"
        "ulaslıesbaılyoadiçdoçiunstseklizonllmikiçekuişveikyeeğurosiseyimğitıeçharlgisypaşlkelulmazrubunu"
        "bengiyştokitcamlkoışaşumceedapturmntabktıkbordldnlnmürünyımırtağrsöni̇ümsoncımdugöçazauteczieşac"
        "zemutüıyahhirorügüçıızğıtlısuygaheğefaloşaciomşicıipkslticgulüsükıidiğposuyişımbzıdüuztomoevchva"
        "açrknouşörüzodüklgzlwapiözpeifcuairgnüagiayuhuuaotıcğucoukviığtryüösshtmğloğhtöluspıylynnsşmrçep"
        "groyploptkezülböyggoüsoşmüfiblpruğafebyrşezgibğravzcsnfısk"
    ),
    "ru": (
        "еннестниранопооверанреолкатьатнаропретметовальтадаконылилоисодзадетеитосалтриетиимволеелвеорияес"
        "ляазоботннриемокомсокиинскайдовытсаредмооглачеавгоыйпасясиекпемаспдлопционслнтиржеойамудиззофаий"
        "ожйльзакаятвииасвирудиусилаешижиикозьноещесесьевчиапивклвлпиыхачзмадблыепундзнтнбоуечаабейбрлюжн"
        "ибмиегошктвнрыксбырнуточукючкуссичацздмыкрумытткывупбагррждндунсежсавкхокесуидбуицбкнууюфофицемя"
        "туажчниюкцвурмющщиртшелнепагурипмвйтэттызвятеззугиифвряерсйслуымлжгубеигещждчтущнядрзывсеорвгаьк"
        "ылужжааюулёниауньсееддсыечучэлютммооихзимуыпоиишбънкргцаахзянфлыгедсеисмецмнбщрхъешаешянбныргняв"
        "оцбихилчплебязрявтфуояшкмпугсвубчклкррдкснщадвыкдплбиоьткнршркцыйдётьшгл"
    ),
    "uk": (
        "антистнаеннеканоовннвакоповиерорнярероаттариразаалниідоммавідадопристоніувівимтрлоарийпевоослаай"
        "лільмеькитміаміноггоеконмоиказляпітьмиолцісяріозвеободтеокачсьлентісзнпалиавіластукукисидечеилді"
        "длбуапесабнуихивруфатіікопкіотсуднжебачичаемвнйлндадинаквдедутетаєпиожклблктбопугасеьньсвутнірму"
        "ипсіочщоійспіїдкчняксокрнсвкеллкагзвсклусангевслзмдиджньуєумксацлюшехіунряядбеіядувсусируржнбівл"
        "гуежулфіізртезбрімьоітснцеизєтмвепшигрнкукегупзотвоюйтздфорсгіцькцоїдтахйсрнрмючифжизуіаічкеажиц"
        "ецчіейткдрішудямювкничдпмкидятзірвршютжаібуаігхоишмбргкщщеіюжлшуашжугнханюзпрхошибцявпмпйозббиоц"
        "вжубфудсеовтгезийняншамнємауштебркучплсхглшнмлєкаюншієциввигчкищявчуюєіоьтнц"
    ),
    "bg": (
        "нанеаненвараренидатапртозастаттекапоноизотмеетиярилииткоавдеветиросеедмаоводлеазвиормоелалобайин"
        "скексъарирерцизвосимадърисолестраклоилнтжеиелнкидионятикожласифатвопдоомйлчевогрвъемпандътктсабе"
        "амклойслежичдъешивчаеппиезждокзибрасспапоззпхоочпъусянчиълтногзнксщеабявбачнртпекръдсвтъацкъмипц"
        "лядръзднзджафогансзобиидрмшкбллзрсащврукгобоумръквйтняфилюряржкеачкуъврвючъмбъицйнвяглшишнечулвн"
        "дугуевйсояииагупрубузтвсдвъсщаъщсожиипеувкурзмрнщиткувебннеглуифигзхажцеишцабвзбргзкоипуейиачвсн"
        "щоеоъкбщъояммнъплъецгишевхчкдднуутрхнфпсучунзргнмяябищубршиотуттвтлтвмшадяхизчугхртсдсйксясрвуое"
        "бнлсущ"
    ),
    "el": (
        "τοουστναταικσηειείανποαττηενμααιαριαροριραισμεκανοηςδετιτεοςμέχείαδιερεταπένσεωνπρλοεππαομοννταλ"
        "τήκουνπεπιορμοίναςοικεακγρησασλεγιούημκόοπαμδορχιοίοολσυηνσμιμογνεαφοσρεήςυπτρεσχρμηυρκτργνωλαόν"
        "λλκάράμιαγάλμπρίπόνιλήώντάπλάνσιελθεεςδυίστωφαλιμήγήεκωστόιλνηέγήσυτληγκρέμμκήέςυσρηεγκρσααδόςμό"
        "γοέχυμφάθαέτγαλάάσκλότοίευύνεδηταυιεδητυόμνάηκθηρόιάιτσίκέινφοηριράρχοθοτίγεοτάτιδέλεμέσθμπάνόαθ"
        "φήίτσφμίήτζεγνβονδοκοθγίρήήμλίεξνίνέμάκυτέιςλώλέδίλμρωήκπίρμγγίζάγθέμφοδίδωρόραίώσβάδαθυίηήρέπιθ"
        "έρεύσκάκγλνήυςύρυχσσσύτύγμχιγέβαύπυγοειχρώσοίωιγρταβκιμβάθχαάδέκηθβρπηωςωτίμώρσωλόιώόλεφρυπέψηαχ"
        "άμόσχίξειηδρεθοβόγέαπωυθκηωμθήέθπτόδοηνσχωεωχώοχγχξηίευλύθσχέξφιάζδύύμηγχήκώιόγωκωώμεχοφίπαξαζιή"
        "βιλυδέκίβλλωύσωδνθκδζοόπυαμνάφόχήθηλσόήνιπιβέμβεύοάςιέξιλύωγξαθύσθ"
    ),
    "hr": (
        "jenaanrareniijstpoprkarientakonetijaatliordazanovatonjteskakkiinismaavarekciroodovedikmeosljlamo"
        "italomotogveiremonimaztrojeradviajizkeseloelsaeticznspjugudontivzivrdiopdnilpivookesamusbibanuči"
        "ozolgrapdekuičacdrsipaslezevupbrćemilensvnačjiruassuućabobkruncautturnurumpuboeprsešceišblktklsn"
        "uliptvškčkčeebmjndučžeksvltnfipejsngihpcbesvžaukočgozožiidšišeagržeđaozvčnrtčagaglecfoigožštplrm"
        "dugetkećđeažlnršujegmpubdbluugocrgbusovjpkpjzltsifhićiiopsša"
    ),
    "sk": (
        "ovprpoennaiestreneornianjevaiatokororariodtalobonánéadallateinkanýchsanoerakzomevearhocivoobtili"
        "atskleedesosoltučisúdoonomtrokazdabazaasdeavrávyamiťujepntmoúboudnožaťznkuačotitkyozetmižiupmakt"
        "tnisvýslplázužikkábrrudiajeľávacelebmáspvieknuuráticísnícepasevnácžnčaybziexbyčíemdrhyáločahíkim"
        "ilčeapidsoívcopibuáréhrítvtyľaejlnštnyutpuojndfieczápeypjúkrrnopmuláckýcpíumocsťhabeusdkblžefoez"
        "pnklduoľzeunsyrmtárčvézvdpukdátllyknváulkcguabánlukesisuzdšebsytítnújačnhlnkrvľkúčxtngrtbntétkzl"
        "helírzhuémdstírykéyhžkžíubčunsykudyťšíehvscageigľbnfohrcbiťazívlifdzipnčkýibfavučkšizmrkámmbúcím"
        "iudlxismmyíričtýsáogjtgrzyľúečkľymysásncdvuavkýssíevýmľnrýežeťmpútizeoauréóddymôádgnájhragjoefôž"
        "nšvščorsirrdmkrbľozuhľýbžaivúrgiegll"
    ),
    "sl": (
        "nanirastprrepoenanjekatenonemeintikoveavzariikliodtojaorovnjedatdaloostaalevotizilljmovaarčiseaj"
        "vielsklaočekdoakroitemisoletogazkičemadeamimkevngoerpidnonirlebiicgaesasvotrvrznščpaobomokapsaez"
        "slegadupntspdiabijmiejivlnrsčabrbaklceihboopzbblbejitničcasisodrišuspekuvsgrepumšijurnčnštipžnsn"
        "ndtvjoguačožhoečkrciozrturebziahmbškcongzedpnsruglzputnuagdmzvidžiujvzpuunburjknojectueššegejšzo"
        "ukželurgzrhibnubvlučrdtkrviggiacpljnjsežošds"
    ),
    "ca": (
        "deeserenelrearntlaornocaalratacistatinitcoteonleanpetrrifinameiólitiunquecsiomsedaadichaacrouepo"
        "mapretctamislldiguiaxelsutnséspaidemmpniostxegtonencimirmiurrsexotixiotsssusmblosprrvaobbleigiua"
        "moilrmgeolrtbaapodsosaplfovesuocviscdofeabndeuasbropogcrigaqtuifceautàxitzcuipccltuiiudungepràul"
        "zaclbiumrdefiepuàlnvpcdrínnfçaibgrfaeaaiivvàupgaedlínyrutgmérgpthibuavrcèngnvopixttérnaçbojaublu"
        "iqagfu"
    ),
    "id": (
        "andakangerakenartaallaattisiindimeasgaribaraunidtepeammapanantahukseiklibeyatureiselsaemapilkeha"
        "deuaonndorbuitmbadniiaaietstleesekrukourguagolkulugirkcatoksebnysulopijaommpimabbiromiumutirulus"
        "ipwaaumotrnehipookmubovanocoggduihktfipuchnsgkpredkiecgeopacrsotifodubveosigeprtaancfojeayibnuhe"
        "eghudosprlsormlkjurgshobciplhoeaupehefrnicnjceawnkgouiougrugnfhkjithiorbrdkhoc"
    ),
}

PAIRS = {
    language: frozenset(pairs[at : at + 2] for at in range(0, len(pairs), 2)) for language, pairs in _PAIRS.items()
}
"""The pairs of each language."""
